"""Simple copy-paste (Ghiasi et al., CVPR 2021): pastes objects of one image onto another.

H, W: size of the image pasted onto; n: its instances; m: pasted ones.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from detectron2.structures import BitMasks, Boxes, Instances
from solo_d2.structures import boxes_from_masks
from solo_d2.utils.errors import InputError

# Fields with special treatment in the merge.
_GEOMETRY = ("gt_boxes", "gt_masks")
# Defaults other than 0 for instances of an image without the field.
_DEFAULTS = {"gt_has_mask": True}


@dataclass(frozen=True)
class CopyPaste:
    """Pastes a random subset of a sample's instances; see ``INPUT.COPY_PASTE``.

    Attributes:
        prob: Probability of pasting.
        max_covered: An instance is dropped if more than this fraction of it is covered.
    """

    prob: float
    max_covered: float

    def wanted(self) -> bool:
        """Draws the decision to paste."""
        return np.random.rand() < self.prob

    def __call__(self, sample: dict, source: dict) -> dict:
        """Pastes onto one mapped sample from another.

        Args:
            sample: "image" (3, H, W) uint8 and "instances" with bit masks.
            source: The same, of any size; it is shifted at random so that as much of it as possible stays
                inside.

        Returns:
            A new sample; ``sample`` itself if there is nothing to paste.

        Raises:
            InputError: If the sample has labels that copy-paste cannot change, or polygons.
        """
        _check(sample)
        objects = _pastable(source["instances"])
        if not len(objects):
            return sample
        count = np.random.randint(1, len(objects) + 1)
        objects = _dense(objects[torch.from_numpy(np.sort(np.random.permutation(len(objects))[:count]))])
        size = tuple(sample["image"].shape[1:])
        shift = [_draw_shift(a, b) for a, b in zip(size, source["image"].shape[1:], strict=True)]
        masks = _shift(objects.gt_masks.tensor, shift, size)
        pasted = _with_masks(objects, masks, shift)
        pasted = pasted[_visible(objects.gt_masks.tensor, masks, self.max_covered)]
        cover = pasted.gt_masks.tensor.any(0)

        own = _dense(sample["instances"])
        rest = own.gt_masks.tensor & ~cover
        kept = _with_masks(own, rest, [0, 0])[_visible(own.gt_masks.tensor, rest, self.max_covered)]
        image = torch.where(cover, _shift(source["image"], shift, size), sample["image"])
        return {**sample, "image": image, "instances": _merge(kept, pasted)}


def _check(sample: dict) -> None:
    if not isinstance(sample["instances"].gt_masks, BitMasks):
        raise InputError("copy-paste needs bit masks, not polygons")
    if "sem_seg" in sample:
        raise InputError("copy-paste cannot paste semantic labels")


def _pastable(instances: Instances) -> Instances:
    """Returns the instances that have a mask."""
    if instances.has("gt_has_mask"):
        return instances[instances.gt_has_mask]
    return instances


def _dense(instances: Instances) -> Instances:
    """Returns the instances with stored masks, where theirs are made at every access."""
    fields = {**instances.get_fields(), "gt_masks": BitMasks(instances.gt_masks.tensor)}
    return Instances(instances.image_size, **fields)


def _draw_shift(size: int, source_size: int) -> int:
    """Draws a shift along one axis that keeps the smaller of the two inside the larger."""
    low, high = sorted((0, size - source_size))
    return int(np.random.randint(low, high + 1))


def _shift(values: Tensor, shift: list[int], size: tuple[int, int]) -> Tensor:
    """Moves (..., h, w) by ``shift`` rows and columns onto an empty canvas of ``size``."""
    dy, dx = shift
    h, w = values.shape[-2:]
    return F.pad(values, (dx, size[1] - w - dx, dy, size[0] - h - dy))


def _visible(before: Tensor, after: Tensor, max_covered: float) -> Tensor:
    """Returns (n,) bool, whether each mask keeps enough of its pixels."""
    area, left = before.flatten(1).sum(1), after.flatten(1).sum(1)
    return (left > 0) & (left >= (1 - max_covered) * area)


def _with_masks(instances: Instances, masks: Tensor, shift: list[int]) -> Instances:
    """Moves instances; the box of a mask that lost pixels is clipped to the rest of the mask."""
    changed = masks.flatten(1).sum(1) < instances.gt_masks.tensor.flatten(1).sum(1)
    moved = instances.gt_boxes.tensor + torch.tensor([shift[1], shift[0]] * 2)
    result = Instances(tuple(masks.shape[1:]))
    for name, value in instances.get_fields().items():
        if name not in _GEOMETRY:
            result.set(name, value)
    result.gt_boxes = Boxes(torch.where(changed[:, None], boxes_from_masks(masks), moved))
    result.gt_masks = BitMasks(masks)
    return result


def _merge(first: Instances, second: Instances) -> Instances:
    """Joins instances of one image; a field that only one of them has gets its default in the other."""
    result = Instances(first.image_size)
    result.gt_boxes = Boxes.cat([first.gt_boxes, second.gt_boxes])
    result.gt_masks = BitMasks(torch.cat([first.gt_masks.tensor, second.gt_masks.tensor]))
    fields = {**first.get_fields(), **second.get_fields()}
    for name, like in fields.items():
        if name not in _GEOMETRY:
            values = [
                side.get(name)
                if side.has(name)
                else like.new_full((len(side), *like.shape[1:]), _DEFAULTS.get(name, 0))
                for side in (first, second)
            ]
            result.set(name, torch.cat(values))
    return result
