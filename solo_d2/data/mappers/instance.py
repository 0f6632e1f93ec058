"""Detectron2's mapper for training, with promises more: every sample has all ground-truth fields, and what
annotations say beside class, box and mask comes along.

Detectron2's own leaves ``gt_masks`` out where an image has no annotation, and fails on such an image when
crops are enabled.
"""

import struct
import zlib

import numpy as np
import torch
from PIL import Image

from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.data.detection_utils import SizeMismatchError
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from solo_d2.data.augmentations.color import StrongColor
from solo_d2.data.pixel_depth import refuse_deep_file

# What image libraries raise at a file they cannot read; anything else is a bug and is not caught.
UNREADABLE = (
    OSError, EOFError, SyntaxError, SizeMismatchError, struct.error, zlib.error, Image.DecompressionBombError
)  # fmt: skip


class InstanceMapper(DatasetMapper):
    """``DatasetMapper`` whose ``"instances"`` have ``gt_boxes``, ``gt_classes`` and masks also when empty.

    Annotations may have an "embedding" (D numbers) and "mask_withheld" (0 or 1: whether the mask must not be
    learnt). They become ``gt_embeddings`` (n, D) float32, zeros where an annotation has none, and
    ``gt_mask_withheld`` (n,) bool. Both fields are there only where an annotation of the image has them.
    """

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict:
        """Reads Detectron2's keys, and ``INPUT.STRONG_COLOR``."""
        arguments = super().from_config(cfg, is_train)
        node = cfg.INPUT.STRONG_COLOR
        if node.ENABLED and is_train:
            strong_color = StrongColor.from_config(node, cfg.INPUT.FORMAT)
            arguments["augmentations"] = [*arguments["augmentations"], strong_color]
        return arguments

    def __call__(self, dataset_dict: dict) -> dict:
        """Maps one record; the record is not changed.

        Args:
            dataset_dict: in Detectron2's format. Crowd annotations are left out, as Detectron2 does.

        Returns:
            The model's input: ``"image"`` (3, H, W) uint8 and, for training, ``"instances"``.

        Raises:
            OSError: if the image cannot be read or has more than 8 bits per value.
        """
        refuse_deep_file(dataset_dict["file_name"])
        if not self.is_train or dataset_dict.get("annotations") is None:
            return super().__call__(dataset_dict)
        annotations = [a for a in dataset_dict["annotations"] if not a.get("iscrowd", 0)]
        if not annotations:
            return self._map_empty(dataset_dict)
        # Augmentations may drop instances: numbers in the place of classes tell which ones are left.
        numbered = [
            {**{key: value for key, value in a.items() if key != "embedding"}, "category_id": number}
            for number, a in enumerate(annotations)
        ]
        sample = super().__call__({**dataset_dict, "annotations": numbered})
        _fill_in(sample["instances"], annotations)
        return sample

    def _map_empty(self, dataset_dict: dict) -> dict:
        bare = {key: value for key, value in dataset_dict.items() if key != "annotations"}
        sample = super().__call__(bare)
        height, width = sample["image"].shape[1:]
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(torch.zeros(0, 4))
        instances.gt_classes = torch.zeros(0, dtype=torch.int64)
        if self.use_instance_mask:
            polygons = self.instance_mask_format == "polygon"
            empty = torch.zeros(0, height, width, dtype=torch.bool)
            instances.gt_masks = PolygonMasks([]) if polygons else BitMasks(empty)
        sample["instances"] = instances
        return sample


def _fill_in(instances: Instances, annotations: list[dict]) -> None:
    """Replaces annotation numbers in ``gt_classes`` by classes, and adds the further fields."""
    number = instances.gt_classes
    instances.gt_classes = torch.tensor([a["category_id"] for a in annotations])[number]
    embeddings = [a.get("embedding") for a in annotations]
    length = max((len(e) for e in embeddings if e is not None), default=0)
    if length:
        rows = [np.zeros(length) if e is None else e for e in embeddings]
        instances.gt_embeddings = torch.from_numpy(np.array(rows, np.float32))[number]
    withheld = [bool(a.get("mask_withheld", 0)) for a in annotations]
    if any(withheld):
        instances.gt_mask_withheld = torch.tensor(withheld)[number]
