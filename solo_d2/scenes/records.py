"""A scene as COCO records: instance annotations, panoptic segments, and their PNG pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from solo_d2.structures.coco_masks import mask_fields
from solo_d2.utils.panoptic_png import rgb_to_ids

from .config import STUFF_CLASSES, THING_CLASSES
from .scene import Scene

# RGB, one per thing class and then per stuff class.
CLASS_COLORS = (
    (220, 40, 60),
    (60, 90, 205),
    (230, 170, 20),
    (160, 60, 200),
    (20, 185, 190),
    (120, 180, 230),
    (70, 130, 50),
    (20, 60, 110),
    (200, 170, 120),
)
# Added to a thing class's color per object, so that ids are unique and pictures stay readable.
PANOPTIC_STEP = (1, 3, 2)


@dataclass
class SceneRecords:
    """A scene's entries in a data set's files.

    Attributes:
        image: Entry of ``images``.
        annotations: Entries of the instance JSON.
        segments: ``segments_info`` of the panoptic JSON.
        panoptic: (H, W, 3) uint8 BGR picture of segment ids.
        mattes: File name -> (H, W, 4) uint8 BGRA, an object's own colors and its visible alpha.
    """

    image: dict
    annotations: list[dict]
    segments: list[dict]
    panoptic: np.ndarray
    mattes: dict[str, np.ndarray] = field(default_factory=dict)


def thing_categories() -> list[dict]:
    """COCO ``categories`` of the instance files; ids start at 1."""
    return panoptic_categories()[: len(THING_CLASSES)]


def panoptic_categories() -> list[dict]:
    """COCO panoptic ``categories``: things first, then stuff; ids start at 1."""
    return [
        {"id": 1 + index, "name": name, "isthing": int(index < len(THING_CLASSES)), "color": [*color]}
        for index, (name, color) in enumerate(zip(THING_CLASSES + STUFF_CLASSES, CLASS_COLORS, strict=True))
    ]


def scene_records(scene: Scene, index: int) -> SceneRecords:
    """Describes scene ``index`` of a split.

    Args:
        scene: The scene.
        index: Index of the scene from 0; it determines the image and annotation ids.

    Returns:
        Its records. Objects without visible pixels are omitted.
    """
    height, width = scene.owner.shape
    image_id = index + 1
    stem = f"{image_id:06d}"
    image = {"id": image_id, "file_name": f"{stem}.png", "height": height, "width": width}
    records = SceneRecords(image, [], [], np.zeros((height, width, 3), np.uint8))
    for position, item in enumerate(scene.objects):
        mask = scene.mask(position)
        if not mask.any():
            continue
        color = [
            value + (position + 1) * step
            for value, step in zip(CLASS_COLORS[item.kind], PANOPTIC_STEP, strict=True)
        ]
        segment = _add_segment(records, mask, 1 + item.kind, color)
        matte = f"{stem}_{position + 1}.png"
        records.mattes[matte] = np.dstack([np.where(item.alpha[..., None] > 0, item.color, 0), item.alpha])
        records.annotations.append(
            {
                "id": image_id * 100 + position + 1,
                "image_id": image_id,
                "category_id": segment["category_id"],
                **mask_fields(mask),
                "iscrowd": 0,
                "alpha_file": matte,
            }
        )
    for kind in range(len(STUFF_CLASSES)):
        mask = (scene.stuff == kind) & (scene.owner == 0)
        if mask.any():
            category = len(THING_CLASSES) + kind
            _add_segment(records, mask, 1 + category, CLASS_COLORS[category])
    return records


def _add_segment(records: SceneRecords, mask: np.ndarray, category_id: int, color: Sequence[int]) -> dict:
    records.panoptic[mask] = color[::-1]
    measured = mask_fields(mask)
    segment = {
        "id": int(rgb_to_ids(np.array(color))),
        "category_id": category_id,
        "area": measured["area"],
        "bbox": [int(value) for value in measured["bbox"]],
        "iscrowd": 0,
    }
    records.segments.append(segment)
    return segment
