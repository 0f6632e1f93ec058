"""COCO 2014 and 2017 under their usual names, in $DETECTRON2_DATASETS (default: "datasets").

Registering opens no file; loading a dataset does.
"""

import os

from .builtin_meta import get_coco_instances_meta
from .coco import register_coco_instances

_COCO_SPLITS = {
    "coco_2014_train": ("train2014", "instances_train2014.json"),
    "coco_2014_val": ("val2014", "instances_val2014.json"),
    "coco_2017_train": ("train2017", "instances_train2017.json"),
    "coco_2017_val": ("val2017", "instances_val2017.json"),
    "coco_2017_val_100": ("val2017", "instances_val2017_100.json"),
    "coco_2017_test": ("test2017", "image_info_test2017.json"),
    "coco_2017_test-dev": ("test2017", "image_info_test-dev2017.json"),
}


def register_all_coco(root: str) -> None:
    """Registers the splits of COCO with files in ``<root>/coco``."""
    for name, (images, annotations) in _COCO_SPLITS.items():
        register_coco_instances(
            name,
            get_coco_instances_meta(),
            os.path.join(root, "coco/annotations", annotations),
            os.path.join(root, "coco", images),
        )


register_all_coco(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")))
