"""Merges instances and a semantic map (Panoptic-FPN; SOLOv2 paper, section 3.2 and appendix F).

Better instances take their pixels first. An instance is dropped if better ones leave too little of it, and
its pixels are free again, so each decision depends on all better ones. The merge works on regions: the pixels
covered by the same set of instances. An image of a million pixels has a few hundred regions.

N: instances; H, W: output size; P = H * W; R: regions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from detectron2.structures import Instances

# Label of the semantic map that stands for all thing classes together.
THINGS_LABEL = 0
_BYTE = 8


@dataclass(frozen=True)
class PanopticMerge:
    """Thresholds of the merge, Detectron2's ``MODEL.PANOPTIC_FPN.COMBINE``.

    CondInst drops an instance with a score below 0.45 or with more than 40% of it lost (CondInst paper,
    section 2.5).

    Attributes:
        overlap_thresh: An instance is dropped if more than this fraction of it is already taken.
        stuff_area_limit: A stuff class with fewer free output pixels is dropped.
        instances_confidence_thresh: Instances below this score are dropped.
    """

    overlap_thresh: float
    stuff_area_limit: int
    instances_confidence_thresh: float

    def __call__(self, instances: Instances, semantic: Tensor) -> tuple[Tensor, list[dict]]:
        """Merges one image's results, as Detectron2's Panoptic-FPN does.

        Args:
            instances: ``pred_masks`` (n, H, W) bool, ``scores`` (n,), ``pred_classes`` (n,), in any order.
                Of equal scores the first wins.
            semantic: (H, W) integer labels: 0 for things, 1 and up for stuff classes.

        Returns:
            (H, W) int32 segment ids, 0 for no segment, and one dict per segment in the order of the ids:
            "id", "isthing", "category_id" (a thing class, or the semantic label); things also have "score"
            and "instance_id" (index into ``instances``), stuff has "area" in pixels.
        """
        order = instances.scores.argsort(descending=True, stable=True)
        order = order[instances.scores[order].double() >= self.instances_confidence_thresh]
        regions = _Regions.of(instances.pred_masks.bool().flatten(1))
        owner, accepted = self._claim(regions.cover[order], regions.area)
        ids = torch.cat([accepted.cumsum(0) * accepted, accepted.new_zeros(1, dtype=torch.int64)])
        panoptic = regions.paint(ids[owner]).view_as(semantic)
        winners = order[accepted]
        segments = [
            {"id": number, "isthing": True, "score": score, "category_id": label, "instance_id": index}
            for number, (score, label, index) in enumerate(
                zip(
                    instances.scores[winners].tolist(),
                    instances.pred_classes[winners].tolist(),
                    winners.tolist(),
                    strict=True,
                ),
                start=1,
            )
        ]
        return self._fill_with_stuff(panoptic, segments, semantic)

    def _claim(self, cover: Tensor, region_area: Tensor) -> tuple[Tensor, Tensor]:
        """Decides which instances stay and which instance owns each region.

        An instance's fate depends on better ones only. After k rounds the decisions for the k best instances
        are final, whatever the start, so a round that changes nothing ends the loop. Ordinary images need two
        or three rounds.

        Args:
            cover: (N, R) bool, whether the instance covers the region, best instance first.
            region_area: (R,) float64 pixels.

        Returns:
            (R,) int64, the region's owner, N for none; and (N,) bool, the instances that stay.
        """
        count = len(cover)
        area = cover.double() @ region_area
        index = torch.arange(count, device=cover.device)[:, None]
        nobody = torch.full_like(region_area, count, dtype=torch.int64)[None]
        accepted = area > 0
        while True:
            owner = torch.cat([torch.where(cover & accepted[:, None], index, count), nobody]).amin(0)
            taken = (cover & (owner < index)).double() @ region_area
            decided = (area > 0) & (taken / area.clamp(min=1) <= self.overlap_thresh)
            if torch.equal(decided, accepted):
                return owner, accepted
            accepted = decided

    def _fill_with_stuff(
        self, panoptic: Tensor, segments: list[dict], semantic: Tensor
    ) -> tuple[Tensor, list[dict]]:
        """Assigns free pixels to the semantic map's stuff classes, in the order of their labels."""
        free = panoptic == 0
        present = semantic.flatten().long().bincount()
        areas = torch.where(free, semantic, THINGS_LABEL).flatten().long().bincount(minlength=len(present))
        large = (present > 0) & (areas >= self.stuff_area_limit)
        large[THINGS_LABEL] = False
        ids = (large.cumsum(0) + len(segments)) * large
        panoptic = torch.where(free, ids[semantic.long()], panoptic).int()
        labels = large.nonzero().squeeze(1)
        stuff = [
            {"id": number, "isthing": False, "category_id": label, "area": area}
            for number, (label, area) in enumerate(
                zip(labels.tolist(), areas[labels].tolist(), strict=True), start=len(segments) + 1
            )
        ]
        return panoptic, segments + stuff


@dataclass(frozen=True)
class _Regions:
    """A partition of the image into regions: the pixels covered by the same set of masks.

    Attributes:
        cover: (N, R) bool, whether the mask covers the region.
        area: (R,) float64, pixels of each region.
        region_of_run: (T,) int64, the region of each run. A run is a maximal stretch of the flattened image
            that is covered by the same masks.
        run_lengths: (T,) int64, in pixels; their sum is P.
    """

    cover: Tensor
    area: Tensor
    region_of_run: Tensor
    run_lengths: Tensor

    @classmethod
    def of(cls, masks: Tensor) -> "_Regions":
        """Finds the regions of masks (N, P) bool."""
        count, pixels = masks.shape
        planes = _pack(masks)
        changes = torch.zeros(pixels - 1, dtype=torch.bool, device=masks.device)
        # A pixel starts a run if any of its bits differs from the pixel before. Only the columns of the few
        # runs are sorted below, not those of all pixels.
        for plane in planes:
            changes |= plane[1:] != plane[:-1]
        starts = torch.cat([changes.new_zeros(1, dtype=torch.int64), changes.nonzero().squeeze(1) + 1])
        lengths = torch.cat([starts, starts.new_tensor([pixels])]).diff()
        patterns = planes[:, starts]
        region = _number_columns(patterns)
        num_regions = int(region.max()) + 1
        area = torch.zeros(num_regions, dtype=torch.float64, device=masks.device)
        area.index_add_(0, region, lengths.double())
        # Any run of a region shows which masks cover it; indexed assignment picks one.
        example = starts.new_zeros(num_regions)
        example[region] = torch.arange(len(starts), device=masks.device)
        bits = torch.arange(_BYTE, dtype=torch.uint8, device=masks.device)[:, None]
        cover = (patterns[:, None, example] >> bits) & 1
        return cls(cover.flatten(0, 1)[:count].bool(), area, region, lengths)

    def paint(self, values: Tensor) -> Tensor:
        """Expands values of regions to pixels: (R,) to (P,)."""
        return values[self.region_of_run].repeat_interleave(self.run_lengths)


def _pack(masks: Tensor) -> Tensor:
    """Packs masks (N, P) bool, eight to a byte: bit ``i % 8`` of plane ``i // 8``, (ceil(N / 8), P) uint8."""
    values = masks.view(torch.uint8)
    planes = values.new_zeros(-(-len(masks) // _BYTE), masks.shape[1])
    # Horner's rule: shift all planes left by one bit, then add the next bit, without temporary copies.
    for bit in reversed(range(_BYTE)):
        rows = values[bit::_BYTE]
        part = planes[: len(rows)]
        torch.add(rows, part, alpha=2, out=part)
    return planes


def _number_columns(patterns: Tensor) -> Tensor:
    """Numbers the distinct columns of (K, T) uint8: (T,) int64 from 0; equal columns have equal numbers."""
    height, count = patterns.shape
    # Eight bytes of a column make one int64 word. Folding word by word sorts int64 keys instead of whole
    # columns. Numbers are below count, so number * count + distinct cannot collide.
    padded = patterns.new_zeros(count, -(-height // _BYTE) * _BYTE)
    padded[:, :height] = patterns.T
    words = padded.view(torch.int64) if height else padded.long()
    number = torch.zeros(count, dtype=torch.int64, device=patterns.device)
    for word in words.T:
        distinct = word.unique(return_inverse=True)[1]
        number = (number * count + distinct).unique(return_inverse=True)[1]
    return number
