"""The mapper for training on instances.

Unlike Detectron2's, every sample has all ground-truth fields, even without annotations, and additional fields
of annotations are kept. The image file is opened once. Bit masks are never dense (:class:`RunMasks`).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import Instances, PolygonMasks
from solo_d2.data.augmentations.color import StrongColor
from solo_d2.data.augmentations.resize import KeepOnePixel, ScaleJitter
from solo_d2.utils.image_file import read_image, read_labels
from solo_d2.utils.settings import build

from .annotation_masks import transform_masks

_ANNOTATIONS = ("annotations", "sem_seg_file_name")
# Annotation fields that transforms need.
_GEOMETRY = ("category_id", "bbox", "bbox_mode", "segmentation")


class InstanceMapper(DatasetMapper):
    """``DatasetMapper`` whose ``"instances"`` have ``gt_boxes``, ``gt_classes`` and masks even if empty.

    Annotations may have an "embedding" (D numbers) and "mask_withheld" (1: the mask must not be learned).
    They become ``gt_embeddings`` (n, D) float32, zeros for annotations without one, and ``gt_has_mask``
    (n,) bool, False if the mask is withheld. Both fields exist only if an annotation of the image has them.
    """

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict:
        """Reads Detectron2's keys, ``INPUT.SCALE_JITTER`` and ``INPUT.STRONG_COLOR``."""
        arguments = super().from_config(cfg, is_train)
        jitters = cfg.INPUT.SCALE_JITTER.ENABLED and is_train

        def resizing(plain: T.Augmentation) -> T.Augmentation:
            kept = KeepOnePixel(plain)
            return build(ScaleJitter, cfg, "INPUT.SCALE_JITTER", resize=kept) if jitters else kept

        arguments["augmentations"] = [
            resizing(a) if isinstance(a, T.ResizeShortestEdge) else a for a in arguments["augmentations"]
        ]
        if jitters:
            arguments["recompute_boxes"] = arguments["use_instance_mask"]
        if cfg.INPUT.STRONG_COLOR.ENABLED and is_train:
            strong_color = build(StrongColor, cfg, "INPUT.STRONG_COLOR", "INPUT")
            arguments["augmentations"] = [*arguments["augmentations"], strong_color]
        return arguments

    def __call__(self, dataset_dict: dict) -> dict:
        """Maps one record; the record is not changed.

        Args:
            dataset_dict: Record in Detectron2's format. Crowd annotations are dropped, as in Detectron2.

        Returns:
            The model's input: "image" (C, H, W) uint8 and, for training, "instances" if the record has
            annotations and "sem_seg" (H, W) int64 if it has a semantic map.

        Raises:
            UnreadableImage: If the image cannot be read or has more than 8 bits per value.
            SizeMismatchError: If its size is not the record's.
        """
        sample = {key: value for key, value in dataset_dict.items() if key not in _ANNOTATIONS}
        labels = dataset_dict.get("sem_seg_file_name") if self.is_train else None
        augmented, transforms = self._augment(sample, labels, read_labels)
        sample["image"] = as_planes(augmented.image)
        if augmented.sem_seg is not None:
            sample["sem_seg"] = torch.as_tensor(augmented.sem_seg[..., 0].astype(np.int64))
        annotations = dataset_dict.get("annotations")
        if self.is_train and annotations is not None:
            objects = [a for a in annotations if not a.get("iscrowd", 0)]
            sample["instances"] = self._make_instances(objects, transforms, augmented.image.shape[:2])
        return sample

    def _augment(
        self, sample: dict, label_file: str | None, read: Callable[[str], np.ndarray]
    ) -> tuple[T.AugInput, T.Transform]:
        """Reads a record's image, checks its size, and augments it together with an image of labels.

        Args:
            sample: The record; gets "height" and "width" if it has none.
            label_file: Image of labels; None for none.
            read: Reads that image: (H, W, C) uint8.

        Returns:
            The augmented image, whose ``sem_seg`` are the labels, and the transforms.
        """
        image = read_image(sample["file_name"], self.image_format)
        utils.check_image_size(sample, image)
        labels = None if label_file is None else read(label_file)
        if labels is not None and labels.shape[:2] != image.shape[:2]:
            raise utils.SizeMismatchError(
                f"{label_file} is {labels.shape[:2]}, its image {image.shape[:2]} (height, width)"
            )
        augmented = T.AugInput(image, sem_seg=labels)
        return augmented, self.augmentations(augmented)

    def _make_instances(
        self, annotations: Sequence[Mapping], transforms: T.Transform, size: tuple[int, int]
    ) -> Instances:
        """Returns the instances that are not empty after the transforms."""
        polygons = self.use_instance_mask and self.instance_mask_format == "polygon"
        keys = _GEOMETRY if polygons else _GEOMETRY[:-1]
        moved = [
            utils.transform_instance_annotations({k: a[k] for k in keys if k in a}, transforms, size)
            for a in annotations
        ]
        instances = utils.annotations_to_instances(moved, size, mask_format=self.instance_mask_format)
        if polygons and not moved:
            instances.gt_masks = PolygonMasks([])
        elif self.use_instance_mask and not polygons and (not moved or "segmentation" in annotations[0]):
            masks = [a["segmentation"] for a in annotations]
            instances.gt_masks = transform_masks(masks, transforms, size)
        _add_extra_fields(instances, annotations)
        if self.recompute_boxes and instances.has("gt_masks"):
            instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        return utils.filter_empty_instances(instances)


def as_planes(image: np.ndarray) -> Tensor:
    """Converts an image (H, W, C) or (H, W) to a tensor (C, H, W) of the same values."""
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return torch.as_tensor(np.ascontiguousarray(planes))


def _add_extra_fields(instances: Instances, annotations: Sequence[Mapping]) -> None:
    """Adds fields of annotations other than class, box and mask."""
    embeddings = [a.get("embedding") for a in annotations]
    length = max((len(e) for e in embeddings if e is not None), default=0)
    if length:
        rows = [np.zeros(length) if e is None else e for e in embeddings]
        instances.gt_embeddings = torch.from_numpy(np.array(rows, np.float32))
    has_mask = [not a.get("mask_withheld", 0) for a in annotations]
    if not all(has_mask):
        instances.gt_has_mask = torch.tensor(has_mask)
