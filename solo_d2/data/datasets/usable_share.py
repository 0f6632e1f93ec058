"""Rejects annotation sets with too many skipped records, or with nothing to learn."""

import os
from collections.abc import Mapping, Sequence

from solo_d2.utils.errors import InputError

from .problems import Problems

MAX_SKIPPED = 0.1
_TOLERANCE = 2  # pixels
# Skipping these loses nothing.
HARMLESS = ("annotation listed twice", "image listed twice")


def check_share(
    content: Mapping,
    cleaned: Mapping,
    skipped: Problems,
    source: str | os.PathLike,
    max_skipped: float,
    sections: Sequence[str] = ("images", "annotations"),
) -> None:
    """Checks the usable share of an annotation set; a single record of a list may always be skipped.

    Args:
        content: The set before cleaning, with the lists that ``sections`` names.
        cleaned: The set after cleaning.
        skipped: Reasons and skipped records.
        source: Source of the set, for messages.
        max_skipped: Maximum fraction of each list that may be skipped.
        sections: The lists that count.

    Raises:
        InputError: If more is skipped.
    """
    if not 0 <= max_skipped <= 1:
        raise InputError(f"max_skipped is a share from 0 to 1, not {max_skipped}; 10% is 0.1")
    reasons = [(kind, places) for kind, places in skipped if kind not in HARMLESS]
    for name in sections:
        harmless = sum(len(places) for kind, places in skipped if kind in HARMLESS and kind[:5] == name[:5])
        total = len(content[name]) - harmless
        lost = total - len(cleaned[name])
        if lost > 1 and lost / total > max_skipped:
            listed = "; ".join(f"{len(places)}: {kind}, such as {places[0]}" for kind, places in reasons)
            raise InputError(
                f"{source}: {lost} of {total} {name} cannot be used ({listed}); fix the file, or let the "
                f"others do with max_skipped {_round_up(lost / total)}"
            )


def check_learnable(cleaned: Mapping, source: str | os.PathLike) -> None:
    """Checks that a cleaned training set has an object to learn.

    Raises:
        InputError: If it has no annotation, or only crowds.
    """
    annotations = cleaned.get("annotations")
    if not annotations:
        raise InputError(f"{source} has no annotation: there is nothing to learn from its images")
    if all(annotation["iscrowd"] for annotation in annotations):
        raise InputError(
            f"{source}: all {len(annotations)} annotations are crowds (iscrowd 1), which are not learned: "
            "set iscrowd to 0 where they are single objects"
        )


def check_boxes(cleaned: Mapping, source: str | os.PathLike) -> None:
    """Checks that boxes without masks are [x, y, width, height] in pixels.

    Raises:
        InputError: If all of them are inside the first pixel, or more than half of them leave their images.
    """
    sizes = {image["id"]: (image["width"], image["height"]) for image in cleaned["images"]}
    alone = [one for one in cleaned["annotations"] if not one["segmentation"]]
    if not alone:
        return
    corners = [(x + wide, y + high) for x, y, wide, high in (one["bbox"] for one in alone)]
    if all(right <= 1 and bottom <= 1 for right, bottom in corners):
        raise InputError(
            f"{source}: all boxes are within 0..1: give bbox as [x, y, width, height] in pixels, not as "
            "fractions of the image"
        )
    limits = [sizes[one["image_id"]] for one in alone]
    outside = sum(
        right > width + _TOLERANCE or bottom > height + _TOLERANCE
        for (right, bottom), (width, height) in zip(corners, limits, strict=True)
    )
    if 2 * outside > len(alone) > 1:
        raise InputError(
            f"{source}: {outside} of {len(alone)} boxes reach beyond their images: give bbox as "
            "[x, y, width, height], not as two corners"
        )


def _round_up(share: float) -> float:
    """Rounds a share up to whole percents."""
    return min(-(-share * 100 // 1) / 100, 1.0)
