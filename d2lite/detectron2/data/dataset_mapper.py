"""From one element of a dataset (a dict with a file name) to one input of a model."""

import copy
import logging

import numpy as np
import torch

from detectron2.config import configurable

from . import detection_utils as utils
from . import transforms as T


class DatasetMapper:
    """Reads an image, augments it together with its annotations, and makes tensors.

    Args:
        is_train: for training, annotations become `Instances`; otherwise they are dropped.
        augmentations: augmentations or transforms, in order.
        image_format: "BGR", "RGB" or "L".
        use_instance_mask: keep instance masks.
        instance_mask_format: "polygon" or "bitmask".
        recompute_boxes: take the boxes from the augmented masks, which makes them tight after a crop.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: list[T.Augmentation | T.Transform],
        image_format: str,
        use_instance_mask: bool = False,
        instance_mask_format: str = "polygon",
        recompute_boxes: bool = False,
    ):
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
    def from_config(cls, cfg, is_train: bool = True) -> dict:
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
        """Maps an element in the standard dict format.

        Returns:
            A copy with "image" (c, h, w) uint8, and in training "instances" (crowds left out) and
            "sem_seg" (h, w) int64 where the element has annotations or a "sem_seg_file_name".
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
            self._transform_annotations(dataset_dict, transforms, image.shape[:2])
        return dataset_dict

    def _transform_annotations(self, dataset_dict: dict, transforms, image_shape) -> None:
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
