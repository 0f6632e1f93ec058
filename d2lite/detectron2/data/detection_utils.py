"""Building blocks of mappers: read images, transform annotations, create ``Instances``."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from PIL import Image

from detectron2.config import CfgNode
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, PolygonMasks, polygons_to_bitmask
from detectron2.utils.file_io import PathManager

from . import transforms as T
from .catalog import MetadataCatalog

_EXIF_ORIENTATION = 0x0112
_EXIF_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class SizeMismatchError(ValueError):
    """The size of an image differs from the size in its record."""


def convert_PIL_to_numpy(image: Image.Image, format: str | None) -> np.ndarray:
    """Converts a Pillow image.

    Args:
        image: The image.
        format: "BGR", a Pillow mode such as "RGB" or "L", or None for the image's own mode.

    Returns:
        (H, W, C) uint8; C is 1 for "L".
    """
    if format is not None:
        image = image.convert("RGB" if format == "BGR" else format)
    array = np.asarray(image)
    if format == "BGR":
        array = array[:, :, ::-1]
    elif format == "L":
        array = array[:, :, None]
    return array


def _upright(image: Image.Image) -> Image.Image:
    """Applies the EXIF orientation; an unreadable EXIF block counts as none."""
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    except (OSError, SyntaxError, ValueError):
        orientation = None
    return image.transpose(_EXIF_TO_UPRIGHT[orientation]) if orientation in _EXIF_TO_UPRIGHT else image


def read_image(file_name: str, format: str | None = None) -> np.ndarray:
    """Reads an image and applies its EXIF orientation.

    Args:
        file_name: Path of the image.
        format: "BGR", "RGB", "L", ... or None for the file's own mode.

    Returns:
        (H, W, C) uint8 in 0..255; (H, W) for a gray image without ``format``.
    """
    with PathManager.open(file_name, "rb") as f:
        return convert_PIL_to_numpy(_upright(Image.open(f)), format)


def check_image_size(dataset_dict: dict, image: np.ndarray) -> None:
    """Compares an image with the record's "width" and "height", or sets them if absent.

    Raises:
        SizeMismatchError: The sizes differ.
    """
    height, width = image.shape[:2]
    expected = dataset_dict.setdefault("width", width), dataset_dict.setdefault("height", height)
    if expected != (width, height):
        name = f" for image {dataset_dict['file_name']}" if "file_name" in dataset_dict else ""
        raise SizeMismatchError(
            f"Mismatched image shape{name}, got {(width, height)}, expect {expected} (width, height). "
            "Please check the width/height in your annotation."
        )


def _rle_to_bitmask(rle: dict) -> np.ndarray:
    """Decodes compressed or uncompressed COCO RLE into (H, W) uint8."""
    if isinstance(rle["counts"], list):
        rle = mask_util.frPyObjects(rle, *rle["size"])
    return mask_util.decode(rle)


def transform_instance_annotations(
    annotation: dict, transforms: T.Transform | Sequence[T.Transform], image_size: tuple[int, int]
) -> dict:
    """Applies transforms to the box and the segmentation of one instance, in place.

    Args:
        annotation: Has "bbox" with "bbox_mode", and optionally a "segmentation" of polygons or RLE.
        transforms: A transform or a list of them.
        image_size: (h, w) of the transformed image.

    Returns:
        The annotation: "bbox" (4,) in absolute x1, y1, x2, y2 within the image; polygons stay
        polygons, RLE becomes a bitmask (H, W).

    Raises:
        ValueError: The segmentation is neither polygons nor RLE.
    """
    if isinstance(transforms, Sequence):
        transforms = T.TransformList(list(transforms))
    bbox = BoxMode.convert(annotation["bbox"], annotation["bbox_mode"], BoxMode.XYXY_ABS)
    bbox = transforms.apply_box(np.array([bbox], dtype=np.float64))[0].clip(min=0)
    annotation["bbox"] = np.minimum(bbox, list(image_size)[::-1] * 2)
    annotation["bbox_mode"] = BoxMode.XYXY_ABS

    if "segmentation" in annotation:
        segmentation = annotation["segmentation"]
        if isinstance(segmentation, list):
            polygons = [np.array(p, dtype=np.float64).reshape(-1, 2) for p in segmentation]
            annotation["segmentation"] = [p.reshape(-1) for p in transforms.apply_polygons(polygons)]
        elif isinstance(segmentation, dict):
            mask = transforms.apply_segmentation(_rle_to_bitmask(segmentation))
            assert tuple(mask.shape[:2]) == tuple(image_size), (
                f"The RLE mask is {mask.shape[:2]} after the transforms, the image {image_size}."
            )
            annotation["segmentation"] = mask
        else:
            raise ValueError(
                f"Cannot transform segmentation of type '{type(segmentation)}'! Supported types are: "
                "polygons as list[list[float] or ndarray], COCO-style RLE as a dict."
            )
    return annotation


def _segmentation_to_bitmask(segmentation: Any, image_size: tuple[int, int]) -> np.ndarray:
    """Converts polygons, RLE or a mask to a mask (H, W)."""
    if isinstance(segmentation, list):
        return polygons_to_bitmask(segmentation, *image_size)
    if isinstance(segmentation, dict):
        return _rle_to_bitmask(segmentation)
    if isinstance(segmentation, np.ndarray):
        assert segmentation.ndim == 2, f"Expected a mask (H, W), got shape {segmentation.shape}."
        return segmentation
    raise ValueError(
        f"Cannot convert segmentation of type '{type(segmentation)}' to BitMasks! Supported types are: "
        "polygons as list[list[float] or ndarray], COCO-style RLE as a dict, or a binary mask "
        "(H, W) as an ndarray."
    )


def annotations_to_instances(
    annos: list[dict], image_size: tuple[int, int], mask_format: str = "polygon"
) -> Instances:
    """Creates the training targets of one image.

    Args:
        annos: Results of ``transform_instance_annotations``.
        image_size: (h, w) of the image.
        mask_format: "polygon" or "bitmask".

    Returns:
        ``Instances`` with gt_boxes and gt_classes, and with gt_masks if the annotations have a
        segmentation.

    Raises:
        ValueError: The format is "polygon", but a segmentation is not made of polygons.
    """
    target = Instances(image_size)
    boxes = [BoxMode.convert(x["bbox"], x["bbox_mode"], BoxMode.XYXY_ABS) for x in annos]
    target.gt_boxes = Boxes(np.stack(boxes) if boxes else np.zeros((0, 4)))
    target.gt_classes = torch.tensor([int(x["category_id"]) for x in annos], dtype=torch.int64)

    if annos and "segmentation" in annos[0]:
        segmentations = [x["segmentation"] for x in annos]
        if mask_format == "polygon":
            try:
                target.gt_masks = PolygonMasks(segmentations)
            except ValueError as e:
                raise ValueError(
                    "Failed to use mask_format=='polygon' from the given annotations! "
                    "Masks in RLE need INPUT.MASK_FORMAT 'bitmask'."
                ) from e
        else:
            assert mask_format == "bitmask", f"Unknown mask format: {mask_format}"
            masks = [_segmentation_to_bitmask(s, image_size) for s in segmentations]
            target.gt_masks = BitMasks(
                torch.stack([torch.from_numpy(np.ascontiguousarray(x)) for x in masks])
            )
    return target


def filter_empty_instances(
    instances: Instances,
    by_box: bool = True,
    by_mask: bool = True,
    box_threshold: float = 1e-5,
    return_mask: bool = False,
) -> Any:
    """Drops instances without extent.

    Args:
        instances: Have gt_boxes and optionally gt_masks.
        by_box: Drop boxes that are not wider and higher than box_threshold.
        by_mask: Drop empty masks.
        box_threshold: In pixels.
        return_mask: Also return the selection, (N,) bool.
    """
    assert by_box or by_mask, "Nothing to filter by."
    keep = torch.ones(len(instances), dtype=torch.bool)
    if by_box:
        keep &= instances.gt_boxes.nonempty(threshold=box_threshold)
    if by_mask and instances.has("gt_masks"):
        keep &= instances.gt_masks.nonempty()
    return (instances[keep], keep) if return_mask else instances[keep]


def check_metadata_consistency(key: str, dataset_names: Sequence[str]) -> None:
    """Checks that the datasets agree on an entry of their metadata.

    Raises:
        ValueError: They disagree; the log shows both values.
    """
    values = [MetadataCatalog.get(name).get(key) for name in dataset_names]
    for name, value in zip(dataset_names, values, strict=True):
        if value != values[0]:
            logging.getLogger(__name__).error(
                f"Metadata '{key}' of '{name}' is {value}, that of '{dataset_names[0]}' {values[0]}."
            )
            raise ValueError(f"Datasets have different metadata '{key}'!")


def build_augmentation(cfg: CfgNode, is_train: bool) -> list[T.Augmentation | T.Transform]:
    """Builds the default augmentations: resizing and, for training, flipping."""
    if not is_train:
        return [T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, "choice")]
    augmentations: list[T.Augmentation | T.Transform] = [
        T.ResizeShortestEdge(
            cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING
        )
    ]
    if cfg.INPUT.RANDOM_FLIP != "none":
        augmentations.append(
            T.RandomFlip(
                horizontal=cfg.INPUT.RANDOM_FLIP == "horizontal", vertical=cfg.INPUT.RANDOM_FLIP == "vertical"
            )
        )
    return augmentations
