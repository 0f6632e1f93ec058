"""Detectron2's mapper for training, with one promise more: every sample has all ground-truth fields.

Detectron2's own leaves ``gt_masks`` out where an image has no annotation, and fails on such an image when
crops are enabled.
"""

import torch

from detectron2.data import DatasetMapper
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks


class InstanceMapper(DatasetMapper):
    """``DatasetMapper`` whose ``"instances"`` have ``gt_boxes``, ``gt_classes`` and masks also when empty."""

    def __call__(self, dataset_dict: dict) -> dict:
        """Maps one record; the record is not changed.

        Args:
            dataset_dict: in Detectron2's format. Crowd annotations are left out, as Detectron2 does.

        Returns:
            The model's input: ``"image"`` (3, H, W) uint8 and, for training, ``"instances"``.
        """
        annotations = dataset_dict.get("annotations")
        if not self.is_train or annotations is None or any(not a.get("iscrowd", 0) for a in annotations):
            return super().__call__(dataset_dict)
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
