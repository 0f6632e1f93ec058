"""From one record of a dataset (a dict with a file name) to one input of a model."""

import copy
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from detectron2.config import CfgNode, configurable

from . import detection_utils as utils
from . import transforms as T


class DatasetMapper:
    """Reads an image, augments it together with its annotations, and converts both to tensors."""

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: Sequence[T.Augmentation | T.Transform],
        image_format: str,
        use_instance_mask: bool = False,
        instance_mask_format: str = "polygon",
        recompute_boxes: bool = False,
    ):
        """
        Args:
            is_train: Whether annotations become ``Instances``; otherwise they are dropped.
            augmentations: Augmentations or transforms, in order.
            image_format: "BGR", "RGB" or "L".
            use_instance_mask: Whether to keep instance masks.
            instance_mask_format: "polygon" or "bitmask".
            recompute_boxes: Take boxes from the augmented masks, which keeps them tight after a crop.
        """
        if recompute_boxes:
            assert use_instance_mask, "recompute_boxes needs the instance masks."
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format
        self.use_instance_mask = use_instance_mask
        self.instance_mask_format = instance_mask_format
        self.recompute_boxes = recompute_boxes
        mode = "training" if is_train else "inference"
        logging.getLogger(__name__).info(f"[DatasetMapper] Augmentations used in {mode}: {augmentations}")

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Reads ``INPUT`` and ``MODEL.MASK_ON``."""
        augmentations = utils.build_augmentation(cfg, is_train)
        crop = cfg.INPUT.CROP.ENABLED and is_train
        if crop:
            augmentations.insert(0, T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
        return {
            "is_train": is_train,
            "augmentations": augmentations,
            "image_format": cfg.INPUT.FORMAT,
            "use_instance_mask": cfg.MODEL.MASK_ON,
            "instance_mask_format": cfg.INPUT.MASK_FORMAT,
            "recompute_boxes": crop and cfg.MODEL.MASK_ON,
        }

    def __call__(self, dataset_dict: dict) -> dict:
        """Maps a record in the standard dict format.

        Returns:
            A copy with "image" (C, H, W) uint8; for training also "instances" (without crowds) and
            "sem_seg" (H, W) int64 if the record has annotations and a "sem_seg_file_name".
        """
        dataset_dict = copy.deepcopy(dataset_dict)
        image = utils.read_image(dataset_dict["file_name"], format=self.image_format)
        utils.check_image_size(dataset_dict, image)
        sem_seg = None
        if "sem_seg_file_name" in dataset_dict:
            sem_seg = utils.read_image(dataset_dict.pop("sem_seg_file_name"), "L").squeeze(2)

        aug_input = T.AugInput(image, sem_seg=sem_seg)
        transforms = self.augmentations(aug_input)
        image = aug_input.image
        planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        dataset_dict["image"] = torch.as_tensor(np.ascontiguousarray(planes))
        if aug_input.sem_seg is not None:
            dataset_dict["sem_seg"] = torch.as_tensor(aug_input.sem_seg.astype("long"))

        if not self.is_train:
            dataset_dict.pop("annotations", None)
        elif "annotations" in dataset_dict:
            height, width = image.shape[:2]
            self._transform_annotations(dataset_dict, transforms, (height, width))
        return dataset_dict

    def _transform_annotations(
        self, dataset_dict: dict, transforms: T.TransformList, image_shape: tuple[int, int]
    ) -> None:
        annos = [
            utils.transform_instance_annotations(ann, transforms, image_shape)
            for ann in self._wanted(dataset_dict.pop("annotations"))
            if ann.get("iscrowd", 0) == 0
        ]
        instances = utils.annotations_to_instances(annos, image_shape, mask_format=self.instance_mask_format)
        if self.recompute_boxes and instances.has("gt_masks"):
            instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        dataset_dict["instances"] = utils.filter_empty_instances(instances)

    def _wanted(self, annotations: list[dict]) -> list[dict]:
        unwanted = {"keypoints"} if self.use_instance_mask else {"keypoints", "segmentation"}
        return [{k: v for k, v in ann.items() if k not in unwanted} for ann in annotations]
