"""Keys for a user's own data, with or without labels, and for augmentations that Detectron2 lacks."""

from detectron2.config import CfgNode


def add_data_config(cfg: CfgNode) -> None:
    """Adds ``DATASETS.CUSTOM`` (docs/custom_dataset.md), ``INPUT.COPY_PASTE`` and ``INPUT.STRONG_COLOR``."""
    cfg.DATASETS.CUSTOM = CfgNode()
    # A COCO-format annotation file and the folder its file names are relative to. When TRAIN_JSON (VAL_JSON)
    # is set it replaces DATASETS.TRAIN (DATASETS.TEST), and the class count and names come from the file.
    cfg.DATASETS.CUSTOM.TRAIN_JSON = ""
    cfg.DATASETS.CUSTOM.TRAIN_IMAGES = ""
    cfg.DATASETS.CUSTOM.VAL_JSON = ""
    cfg.DATASETS.CUSTOM.VAL_IMAGES = ""
    # For panoptic annotations: the folder of the PNG files that the annotation file names. The stuff
    # classes' number and names then come from it too.
    cfg.DATASETS.CUSTOM.TRAIN_PANOPTIC = ""
    cfg.DATASETS.CUSTOM.VAL_PANOPTIC = ""
    # Images without labels instead: a folder, a .txt file with a path per line, or a COCO JSON. Paths in a
    # file are relative to TRAIN_IMAGES, by default to the file's own folder.
    cfg.DATASETS.CUSTOM.TRAIN_UNLABELLED = ""
    # A folder with one subfolder of images per class, by which pre-trainings are watched (DATASETS.TEST).
    cfg.DATASETS.CUSTOM.VAL_CLASSES = ""
    _add_augmentation_keys(cfg)


def _add_augmentation_keys(cfg: CfgNode) -> None:
    """Augmentations of the instance mapper, in training only."""
    # Simple copy-paste (Ghiasi et al., CVPR 2021; FreeSOLO, section 6.3.1): with this probability a random
    # choice of another training image's instances is pasted. Needs MASK_FORMAT "bitmask".
    cfg.INPUT.COPY_PASTE = CfgNode()
    cfg.INPUT.COPY_PASTE.ENABLED = False
    cfg.INPUT.COPY_PASTE.PROB = 0.5
    # Instances of which more than this fraction is covered by pasted ones are dropped.
    cfg.INPUT.COPY_PASTE.MAX_COVERED = 0.9
    # Changes of colour as self-supervised methods make them (MoCo-v2, section 3), after resizing.
    cfg.INPUT.STRONG_COLOR = CfgNode()
    cfg.INPUT.STRONG_COLOR.ENABLED = False
    # Brightness, contrast and saturation change by a factor in 1 -+ this, hue by -+ this many turns.
    cfg.INPUT.STRONG_COLOR.JITTER = [0.4, 0.4, 0.4, 0.1]
    cfg.INPUT.STRONG_COLOR.JITTER_PROB = 0.8
    cfg.INPUT.STRONG_COLOR.GRAY_PROB = 0.2
    # Least and greatest standard deviation of the Gaussian blur, in pixels of the network input.
    cfg.INPUT.STRONG_COLOR.BLUR_SIGMA = [0.1, 2.0]
    cfg.INPUT.STRONG_COLOR.BLUR_PROB = 0.5
