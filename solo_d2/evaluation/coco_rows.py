"""Instances as rows of a COCO results file."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from detectron2.structures import BoxMode, Instances
from solo_d2.ops import MaskCrops, masks_to_rle


def instances_to_coco_json(instances: Instances, image_id: int) -> list[dict]:
    """Converts the predictions of one image, as Detectron2's function of this name does, but faster.

    Args:
        instances: On the CPU, with ``scores``, ``pred_classes``, and ``pred_boxes`` (XYXY in pixels) and/or
            ``pred_masks``, (N, H, W) bool or :class:`MaskCrops`.
        image_id: The image's id.

    Returns:
        One dict per instance: "image_id", "category_id" (the class index), "bbox" (x, y, width, height) with
        boxes, "score", and "segmentation" (compressed RLE as text) with masks.
    """
    rows = [
        {"image_id": image_id, "category_id": category, "score": score}
        for category, score in zip(instances.pred_classes.tolist(), instances.scores.tolist(), strict=True)
    ]
    if instances.has("pred_boxes"):
        boxes = instances.pred_boxes.tensor
        for row, box in zip(
            rows, BoxMode.convert(boxes, BoxMode.XYXY_ABS, BoxMode.XYWH_ABS).tolist(), strict=True
        ):
            row["bbox"] = box
    if instances.has("pred_masks"):
        for row, rle in zip(rows, _encoded(instances.pred_masks), strict=True):
            row["segmentation"] = {**rle, "counts": rle["counts"].decode("ascii")}
    return rows


def restore_ids(rows: Sequence[Mapping], original_ids: Mapping[str, Mapping[int, Any]]) -> list[dict]:
    """Returns rows of a results file with the ids that the user's annotation file has.

    Args:
        rows: With "image_id" and "category_id".
        original_ids: Ids that the file has by those that the rows have, for either key, both or none; data
            sets whose records were renumbered have them in their metadata. Rows without one, which are of
            classes that the file lacks, are left out.
    """
    restored = ({**row, **{key: ids[row[key]] for key, ids in original_ids.items()}} for row in rows)
    return [row for row in restored if None not in (row["image_id"], row["category_id"])]


def _encoded(masks: object) -> list[dict]:
    """COCO's RLE of masks in any of the forms that Detectron2's fields have."""
    if isinstance(masks, MaskCrops):
        return masks_to_rle(masks)
    dense = torch.as_tensor(getattr(masks, "tensor", masks))
    return masks_to_rle(dense if dense.dtype in (torch.bool, torch.uint8) else dense != 0)
