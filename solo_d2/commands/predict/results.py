"""Instances as rows of a COCO results file."""

from collections.abc import Mapping

from detectron2.structures import Instances
from solo_d2.evaluation.coco_rows import instances_to_coco_json


def coco_rows(
    instances: Instances, image_id: int, file_name: str, category_ids: Mapping[int, int | str]
) -> list[dict]:
    """Returns one COCO results row per instance.

    Args:
        instances: Results of one picture, on the CPU.
        image_id: The picture's COCO id.
        file_name: The picture's name, which every row has next to the id.
        category_ids: From contiguous class index to the data set's category id; a missing index becomes its
            number plus one, as COCO counts from one.

    Returns:
        Rows of image_id, file_name, category_id, segmentation (compressed RLE), bbox (x, y, width,
        height in pixels) and score.
    """
    rows = instances_to_coco_json(instances, image_id)
    for row in rows:
        row["file_name"] = file_name
        row["category_id"] = category_ids.get(row["category_id"], row["category_id"] + 1)
        row["bbox"] = [round(value, 2) for value in row["bbox"]]
    return rows
