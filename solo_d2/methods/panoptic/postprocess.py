"""Instances and a semantic map to one panoptic map (Panoptic-FPN; SOLOv2 paper, section 3.2 and appendix F).

Better instances take their pixels first. An instance that better ones leave too little of is dropped, and its
pixels are free again, so each decision waits for all better ones. Here it is made on regions, the pixels that
one and the same set of instances covers: there are some hundreds of them where an image has a million pixels.

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
        overlap_thresh: An instance is dropped when more than this fraction of it is taken already.
        stuff_area_limit: A stuff class with fewer free pixels is left out, in output pixels.
        instances_confidence_thresh: Instances below this score are left out.
    """

    overlap_thresh: float
    stuff_area_limit: int
    instances_confidence_thresh: float

    def __call__(self, instances: Instances, semantic: Tensor) -> tuple[Tensor, list[dict]]:
        """Merges one image's results, as Detectron2's Panoptic-FPN does.

        Args:
            instances: ``pred_masks`` (n, H, W) bool, ``scores`` (n,), ``pred_classes`` (n,), in any order.
                Equal scores keep their order.
            semantic: (H, W) integer labels: 0 for things, 1 and up for stuff classes.

        Returns:
            (H, W) int32 segment ids, 0 where nothing is, and one dict per segment in the order of the ids:
            "id", "isthing", "category_id" (a thing class, or the semantic label); things also have "score"
            and "instance_id" (their place in ``instances``), stuff "area" in pixels.
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
        """Decides which instances stay and whose each region is.

        Whether an instance stays depends on better ones only. Starting from a guess, every round makes at
        least one more decision of the best-to-worst order final, so the first round that changes nothing
        has made them all; ordinary images need two or three.

        Args:
            cover: (N, R) bool, best instance first: whether it covers the region.
            region_area: (R,) float64 pixels.

        Returns:
            (R,) int64, the region's instance, N for none; and (N,) bool, the instances that stay.
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
        """Gives free pixels to the semantic map's stuff classes, in the order of their labels."""
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
    """A partition of the image into regions, each the pixels that one set of masks covers.

    Attributes:
        cover: (N, R) bool, which mask covers which region.
        area: (R,) float64, pixels of each region.
        region_of_run: (T,) int64, the region of each run, a stretch of the flattened image.
        run_lengths: (T,) int64, which add up to P.
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
        for plane in planes:
            changes |= plane[1:] != plane[:-1]
        starts = torch.cat([changes.new_zeros(1, dtype=torch.int64), changes.nonzero().squeeze(1) + 1])
        lengths = torch.cat([starts, starts.new_tensor([pixels])]).diff()
        patterns = planes[:, starts]
        region = _number_columns(patterns)
        num_regions = int(region.max()) + 1
        area = torch.zeros(num_regions, dtype=torch.float64, device=masks.device)
        area.index_add_(0, region, lengths.double())
        example = starts.new_zeros(num_regions)
        example[region] = torch.arange(len(starts), device=masks.device)
        bits = torch.arange(_BYTE, dtype=torch.uint8, device=masks.device)[:, None]
        cover = (patterns[:, None, example] >> bits) & 1
        return cls(cover.flatten(0, 1)[:count].bool(), area, region, lengths)

    def paint(self, values: Tensor) -> Tensor:
        """Gives every pixel its region's value: (R,) to (P,)."""
        return values[self.region_of_run].repeat_interleave(self.run_lengths)


def _pack(masks: Tensor) -> Tensor:
    """Packs masks (N, P) bool, eight to a byte: bit ``i % 8`` of plane ``i // 8``, (ceil(N / 8), P) uint8."""
    values = masks.view(torch.uint8)
    planes = values.new_zeros(-(-len(masks) // _BYTE), masks.shape[1])
    for bit in reversed(range(_BYTE)):
        rows = values[bit::_BYTE]
        part = planes[: len(rows)]
        torch.add(rows, part, alpha=2, out=part)
    return planes


def _number_columns(patterns: Tensor) -> Tensor:
    """Numbers the distinct columns of (K, T) uint8: (T,) int64 from 0 on, equal for equal columns only."""
    height, count = patterns.shape
    padded = patterns.new_zeros(count, -(-height // _BYTE) * _BYTE)
    padded[:, :height] = patterns.T
    words = padded.view(torch.int64) if height else padded.long()
    number = torch.zeros(count, dtype=torch.int64, device=patterns.device)
    for word in words.T:
        distinct = word.unique(return_inverse=True)[1]
        number = (number * count + distinct).unique(return_inverse=True)[1]
    return number
