"""Keys of custom data, with or without labels, and of augmentations that Detectron2 does not have."""

from detectron2.config import CfgNode
from solo_d2.data.datasets.usable_share import MAX_SKIPPED


def add_data_config(cfg: CfgNode) -> None:
    """Adds ``DATASETS.CUSTOM`` (docs/custom_dataset.md), and augmentations below ``INPUT``."""
    cfg.DATASETS.CUSTOM = CfgNode()
    # A COCO-format annotation file and the folder that its file names are relative to. TRAIN_JSON (VAL_JSON)
    # replaces DATASETS.TRAIN (DATASETS.TEST); the number and names of the classes come from the file.
    cfg.DATASETS.CUSTOM.TRAIN_JSON = ""
    cfg.DATASETS.CUSTOM.TRAIN_IMAGES = ""
    cfg.DATASETS.CUSTOM.VAL_JSON = ""
    cfg.DATASETS.CUSTOM.VAL_IMAGES = ""
    # Greatest share of a file's images, and of its annotations, that may be skipped as unusable.
    cfg.DATASETS.CUSTOM.MAX_SKIPPED = MAX_SKIPPED
    # For panoptic annotations: the folder of the PNG files that the annotation file names. The number and
    # names of the stuff classes then come from that file, too.
    cfg.DATASETS.CUSTOM.TRAIN_PANOPTIC = ""
    cfg.DATASETS.CUSTOM.VAL_PANOPTIC = ""
    # Images without labels: a folder, a .txt file with one path per line, or a COCO JSON. Paths in a file are
    # relative to TRAIN_IMAGES, by default to the file's own folder.
    cfg.DATASETS.CUSTOM.TRAIN_UNLABELLED = ""
    # A folder with one subfolder of images per class, to monitor pre-training (DATASETS.TEST).
    cfg.DATASETS.CUSTOM.VAL_CLASSES = ""
    _add_augmentation_keys(cfg)


def _add_augmentation_keys(cfg: CfgNode) -> None:
    """Adds the augmentations of the instance mapper, for training only."""
    # Simple copy-paste (Ghiasi et al., CVPR 2021; FreeSOLO, section 6.3.1): the probability of pasting a
    # random subset of another training image's instances. Needs MASK_FORMAT "bitmask".
    cfg.INPUT.COPY_PASTE = CfgNode()
    cfg.INPUT.COPY_PASTE.ENABLED = False
    cfg.INPUT.COPY_PASTE.PROB = 0.5
    # An instance is dropped if pasted ones cover more than this fraction of it.
    cfg.INPUT.COPY_PASTE.MAX_COVERED = 0.9
    # Large-scale jitter (Ghiasi et al., CVPR 2021): the resized image is enlarged or reduced by a factor from
    # FACTORS[0] to FACTORS[1], and a window of at most the size without jitter is cut out.
    cfg.INPUT.SCALE_JITTER = CfgNode()
    cfg.INPUT.SCALE_JITTER.ENABLED = False
    cfg.INPUT.SCALE_JITTER.FACTORS = [0.5, 2.0]
    # Color changes of self-supervised methods (MoCo-v2, section 3), applied after resizing.
    cfg.INPUT.STRONG_COLOR = CfgNode()
    cfg.INPUT.STRONG_COLOR.ENABLED = False
    # Brightness, contrast and saturation change by a factor in 1 +- this, hue by +- this many turns.
    cfg.INPUT.STRONG_COLOR.JITTER = [0.4, 0.4, 0.4, 0.1]
    cfg.INPUT.STRONG_COLOR.JITTER_PROB = 0.8
    cfg.INPUT.STRONG_COLOR.GRAY_PROB = 0.2
    # Minimum and maximum standard deviation of the Gaussian blur, in pixels of the network input.
    cfg.INPUT.STRONG_COLOR.BLUR_SIGMA = [0.1, 2.0]
    cfg.INPUT.STRONG_COLOR.BLUR_PROB = 0.5
