"""Functions that mappers are made of: reading images, transforming annotations, making `Instances`."""

import logging

import numpy as np
import pycocotools.mask as mask_util
import torch
from PIL import Image

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
    """An image does not have the size that its dataset says."""


def convert_PIL_to_numpy(image: Image.Image, format: str | None) -> np.ndarray:
    """Converts a Pillow image.

    Args:
        image: the image.
        format: "BGR", a Pillow mode such as "RGB" or "L", or None for the image's own mode.

    Returns:
        (h, w, c) uint8; "L" has c = 1.
    """
    if format is not None:
        image = image.convert("RGB" if format == "BGR" else format)
    array = np.asarray(image)
    if format == "BGR":
        array = array[:, :, ::-1]
    elif format == "L":
        array = array[:, :, None]
    return array


def convert_image_to_rgb(image: np.ndarray | torch.Tensor, format: str) -> np.ndarray:
    """Converts an image (h, w, c) of some format, as `read_image` makes it, to RGB uint8."""
    if isinstance(image, torch.Tensor):
        image = image.cpu().numpy()
    if format == "BGR":
        return image[:, :, ::-1]
    if format == "L":
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2).astype(np.uint8)
    image = image.astype(np.uint8)
    return image if format == "RGB" else np.asarray(Image.fromarray(image, format).convert("RGB"))


def _upright(image: Image.Image) -> Image.Image:
    """Applies the camera's orientation; an unreadable EXIF block counts as none."""
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    except (OSError, SyntaxError, ValueError):
        orientation = None
    return image.transpose(_EXIF_TO_UPRIGHT[orientation]) if orientation in _EXIF_TO_UPRIGHT else image


def read_image(file_name: str, format: str | None = None) -> np.ndarray:
    """Reads an image, turned upright as its EXIF orientation says.

    Args:
        file_name: path.
        format: "BGR", "RGB", "L", ... or None for the file's own mode.

    Returns:
        (h, w, c) uint8 in 0-255; without `format` a grey image is (h, w).
    """
    with PathManager.open(file_name, "rb") as f:
        return convert_PIL_to_numpy(_upright(Image.open(f)), format)


def check_image_size(dataset_dict: dict, image: np.ndarray) -> None:
    """Compares an image with the element's "width" and "height", or sets them where absent.

    Raises:
        SizeMismatchError: they differ.
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
    """Decodes compressed or uncompressed COCO RLE into (h, w) uint8."""
    if isinstance(rle["counts"], list):
        rle = mask_util.frPyObjects(rle, *rle["size"])
    return mask_util.decode(rle)


def transform_instance_annotations(annotation: dict, transforms, image_size) -> dict:
    """Applies transforms to the box and the segmentation of one instance, in place.

    Args:
        annotation: has "bbox" with "bbox_mode", and perhaps a "segmentation" of polygons or RLE.
        transforms: a Transform, or a list of them.
        image_size: (h, w) of the transformed image.

    Returns:
        The annotation: "bbox" (4,) in absolute x1, y1, x2, y2 within the image; polygons stay
        polygons, RLE becomes a bitmask (h, w).

    Raises:
        ValueError: a segmentation that is neither polygons nor RLE.
    """
    if isinstance(transforms, tuple | list):
        transforms = T.TransformList(transforms)
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


def _segmentation_to_bitmask(segmentation, image_size) -> np.ndarray:
    """Returns (h, w) for polygons, RLE or a mask."""
    if isinstance(segmentation, list):
        return polygons_to_bitmask(segmentation, *image_size)
    if isinstance(segmentation, dict):
        return _rle_to_bitmask(segmentation)
    if isinstance(segmentation, np.ndarray):
        assert segmentation.ndim == 2, f"Expected a mask (h, w), got shape {segmentation.shape}."
        return segmentation
    raise ValueError(
        f"Cannot convert segmentation of type '{type(segmentation)}' to BitMasks! Supported types are: "
        "polygons as list[list[float] or ndarray], COCO-style RLE as a dict, or a binary mask "
        "(h, w) as an ndarray."
    )


def annotations_to_instances(
    annos: list[dict], image_size: tuple[int, int], mask_format: str = "polygon"
) -> Instances:
    """Makes training targets of one image's annotations.

    Args:
        annos: as `transform_instance_annotations` returns them.
        image_size: (h, w) of the image.
        mask_format: "polygon" or "bitmask".

    Returns:
        `Instances` with gt_boxes and gt_classes, and gt_masks when there are annotations and they
        have a segmentation.

    Raises:
        ValueError: "polygon" is asked for, but a segmentation is not made of polygons.
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
):
    """Drops instances without extent.

    Args:
        instances: with gt_boxes, and perhaps gt_masks.
        by_box: drop those whose box is not wider and higher than box_threshold pixels.
        by_mask: drop those with an empty mask.
        box_threshold: in pixels.
        return_mask: also return which were kept, (n,) bool.
    """
    assert by_box or by_mask, "Nothing to filter by."
    keep = torch.ones(len(instances), dtype=torch.bool)
    if by_box:
        keep &= instances.gt_boxes.nonempty(threshold=box_threshold)
    if by_mask and instances.has("gt_masks"):
        keep &= instances.gt_masks.nonempty()
    return (instances[keep], keep) if return_mask else instances[keep]


def gen_crop_transform_with_instance(
    crop_size: tuple[int, int], image_size: tuple[int, int], instance: dict
) -> T.CropTransform:
    """Chooses a random window that contains the centre of an instance's box (to the pixel).

    Args:
        crop_size: (h, w) in pixels, not larger than the image.
        image_size: (h, w) in pixels.
        instance: annotation with "bbox" and "bbox_mode".
    """
    crop_h, crop_w = crop_size = np.asarray(crop_size, dtype=np.int32)
    image_size = np.asarray(image_size, dtype=np.int32)
    x0, y0, x1, y1 = BoxMode.convert(instance["bbox"], instance["bbox_mode"], BoxMode.XYXY_ABS)
    center_yx = (y0 + y1) * 0.5, (x0 + x1) * 0.5
    assert image_size[0] >= center_yx[0] and image_size[1] >= center_yx[1], (
        "The annotation bounding box is outside of the image!"
    )
    assert (image_size >= crop_size).all(), "Crop size is larger than image size!"

    min_yx = np.maximum(np.floor(center_yx).astype(np.int32) - crop_size, 0)
    max_yx = np.minimum(image_size - crop_size, np.maximum(np.ceil(center_yx).astype(np.int32), 0))
    top, left = (np.random.randint(low, high + 1) for low, high in zip(min_yx, max_yx, strict=True))
    return T.CropTransform(int(left), int(top), int(crop_w), int(crop_h))


def check_metadata_consistency(key: str, dataset_names: list[str]) -> None:
    """Checks that datasets that are used together agree on an entry of their metadata.

    Raises:
        ValueError: they do not; the log shows both values.
    """
    values = [MetadataCatalog.get(name).get(key) for name in dataset_names]
    for name, value in zip(dataset_names, values, strict=True):
        if value != values[0]:
            logging.getLogger(__name__).error(
                f"Metadata '{key}' of '{name}' is {value}, that of '{dataset_names[0]}' {values[0]}."
            )
            raise ValueError(f"Datasets have different metadata '{key}'!")


def build_augmentation(cfg, is_train: bool) -> list[T.Augmentation]:
    """Builds the default augmentations of a config: resizing and, in training, flipping."""
    if not is_train:
        return [T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, "choice")]
    augmentations = [
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
