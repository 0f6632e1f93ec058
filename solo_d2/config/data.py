"""Keys for a user's own COCO-format data."""

from detectron2.config import CfgNode


def add_data_config(cfg: CfgNode) -> None:
    """Adds ``DATASETS.CUSTOM``; see docs/custom_dataset.md."""
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
