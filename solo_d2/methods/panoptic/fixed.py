"""Inference of fixed shapes for panoptic models; see :mod:`solo_d2.modeling.fixed_inference`.

B: images; C: things as one class, and the stuff classes; M: results; S = M + C - 1: segments at most.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor

from solo_d2.layers import map_size, resize
from solo_d2.modeling.fixed_inference import FixedInference, blank, pick

from .model import PanopticSegmenter
from .postprocess import THINGS_LABEL, PanopticMerge


class FixedPanopticInference(FixedInference):
    """Mixin that adds the semantic branch, and the merge, to the class after it in the bases.

    Results have "semantic" (B, C, h, w) float32 logits over the padded image. Unless masks are
    soft, and if the model merges, they have the results of :func:`fixed_merge` instead.
    """

    def __init__(self, model: PanopticSegmenter, num_candidates: int = 0, masks: str = "soft"):
        """
        Args:
            model: The segmenter.
            num_candidates: See the instance segmenter's form.
            masks: See :class:`FixedInference`; unless they are soft, the merge is inside and needs the sizes.

        Raises:
            InputError: See the instance segmenter's form.
        """
        super().__init__(model, num_candidates, masks=masks)  # type: ignore[call-arg]  # of the next
        self.merge = model.panoptic_merge
        self.semantic_stride = model.sem_seg.common_stride
        self.needs_sizes |= masks != "soft" and self.merge is not None

    def predict(self, features: dict[str, Tensor], sizes: Tensor | None) -> dict[str, Tensor]:
        results = super().predict(features, sizes)
        model = cast(PanopticSegmenter, self.model)
        return {**results, "semantic": model.semantic_logits(features).float()}

    def enlarge_results(self, results: dict[str, Tensor], sizes: Tensor | None) -> dict[str, Tensor]:
        results = super().enlarge_results(results, sizes)
        if self.merge is None:
            return results
        assert sizes is not None, "forward checks it"
        logits = results.pop("semantic")
        masks = results["masks"]
        inside = _inside(sizes, map_size(masks))
        return results | fixed_merge(
            self.merge,
            masks & inside[:, None],
            results["scores"],
            results["classes"],
            resize(logits, map_size(masks)).argmax(1),
            inside,
            num_labels=logits.shape[1],
        )


class _Things(NamedTuple):
    """Things after the merge: ids (B, H, W) int32, whether a pixel is free (B, H, W), which of the M stay
    (B, M) bool, and their pixels (B, M) float."""

    ids: Tensor
    free: Tensor
    accepted: Tensor
    areas: Tensor


def fixed_merge(
    merge: PanopticMerge,
    masks: Tensor,
    scores: Tensor,
    classes: Tensor,
    labels: Tensor,
    inside: Tensor,
    *,
    num_labels: int,
) -> dict[str, Tensor]:
    """Merges whole batches in operations of fixed shapes, as :class:`PanopticMerge` merges one image.

    Args:
        merge: The thresholds.
        masks: (B, M, H, W) bool, inside the images only, fewer than 2^24 pixels each.
        scores: (B, M), best first.
        classes: (B, M) int64.
        labels: (B, H, W) int64 labels of the semantic map.
        inside: (B, H, W) bool, the pixels of the images without padding.
        num_labels: C.

    Returns:
        "panoptic" (B, H, W) int32 segment ids, 0 for no segment. "segment_count" (B,) int64 segments have the
        ids from 1 on; entry id - 1 describes each: "segment_classes" (B, S) int64, a thing class or a label;
        "segment_things" (B, S) bool; "segment_scores" (B, S), 0 for stuff; "segment_areas" (B, S) int64
        pixels; "segment_instances" (B, S) int64, a thing's index in the M results, 0 for stuff. All are 0
        from the count on.
    """
    things = _claim(merge, masks, scores, inside)
    flat = labels.flatten(1)
    areas, present = (
        flat.new_zeros(flat.shape[0], num_labels, dtype=torch.float32).scatter_add(
            1, flat, pixels.flatten(1).float()
        )
        for pixels in (things.free, inside)
    )
    stuff = (present > 0) & (areas >= merge.stuff_area_limit)
    stuff = stuff & (torch.arange(num_labels, device=stuff.device) != THINGS_LABEL)
    before = things.accepted.float().sum(1, keepdim=True)
    ids = (torch.where(stuff, stuff.float().cumsum(1) + before, 0)).int()
    panoptic = torch.where(things.free, ids.gather(1, flat).view_as(labels), things.ids)

    flags = torch.cat([things.accepted, stuff[:, 1:]], dim=1)
    place = torch.arange(flags.shape[1], device=flags.device)
    order = torch.where(flags, len(place) - place, 0).float().topk(len(place)).indices
    is_thing = place < masks.shape[1]
    nothing = torch.zeros_like(areas[:, 1:])
    values = {
        "classes": torch.cat(
            [classes, torch.arange(1, num_labels, device=place.device).expand(nothing.shape)], 1
        ),
        "things": is_thing.expand(flags.shape),
        "scores": torch.cat([scores, nothing], 1),
        "areas": torch.cat([things.areas, areas[:, 1:]], 1).long(),
        "instances": (place * is_thing).expand(flags.shape),
    }
    count = flags.sum(1)
    segments = {f"segment_{name}": blank(pick(value, order), count) for name, value in values.items()}
    return {"panoptic": panoptic, "segment_count": count, **segments}


def _claim(merge: PanopticMerge, masks: Tensor, scores: Tensor, inside: Tensor) -> _Things:
    """Lets things take their pixels one after the other: an instance's fate depends on better ones only."""
    areas = masks.sum((2, 3), dtype=torch.float32)
    able = (scores >= merge.instances_confidence_thresh) & (areas > 0)
    number = torch.zeros_like(areas[:, 0], dtype=torch.int32)
    ids, free = torch.zeros_like(inside, dtype=torch.int32), inside
    accepted, owned = [], []
    for k in range(masks.shape[1]):
        unclaimed = masks[:, k] & free
        left = unclaimed.sum((1, 2), dtype=torch.float32)
        keep = able[:, k] & ((areas[:, k] - left) / areas[:, k].clamp(min=1) <= merge.overlap_thresh)
        number = number + keep.int()
        claimed = unclaimed & keep[:, None, None]
        ids = torch.where(claimed, number[:, None, None], ids)
        free = free & ~claimed
        accepted.append(keep)
        owned.append(left)
    return _Things(ids, free, torch.stack(accepted, 1), torch.stack(owned, 1))


def _inside(sizes: Tensor, padded: tuple[int, int]) -> Tensor:
    """Returns (B, H, W) bool: the pixels of images of the given sizes, (B, 2), in a padded batch."""
    rows, columns = (torch.arange(side, device=sizes.device) for side in padded)
    return (rows[:, None] < sizes[:, 0, None, None]) & (columns < sizes[:, 1, None, None])
