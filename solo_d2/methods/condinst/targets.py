"""Assigns instances to locations, samples positives for the mask loss, and paints semantic maps.

CondInst paper, sections 2.2 and 2.3. B: images; N: instances of the batch; L: levels; K: locations per
image; M: locations per axis and center; S: slots per image; h, w: a map's size.

An instance can only own locations near its mass center, so it has L * M * M candidates. Its claims are a
mask over that fixed shape. Where several instances claim a location, the smallest box wins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_d2.structures import RunMasks, mass_centers
from solo_d2.utils.device import copy_to_device

from .points import PointGenerator, Points, PointTargets


@torch.no_grad()
def assign_point_targets(
    generator: PointGenerator,
    points: Points,
    boxes: Sequence[Tensor],
    classes: Sequence[Tensor],
    masks: Sequence[Tensor | RunMasks],
    *,
    num_classes: int,
    pos_radius: float,
) -> PointTargets:
    """Assigns ground truth to locations.

    Args:
        generator: The model's levels.
        points: Their locations.
        boxes: Per image (n, 4) float XYXY in network-input pixels.
        classes: Per image (n,) int64.
        masks: Per image (n, h, w) bool at the image's own, unpadded size, or its runs. The center of
            an empty mask is the origin, as in the published models.
        num_classes: The label of background.
        pos_radius: Half side of the center region in strides; the region ends at the box.

    Returns:
        The targets, on the device of the ground truth.
    """
    counts = [len(c) for c in classes]
    all_boxes, all_classes = torch.cat(list(boxes)), torch.cat(list(classes))
    centers = torch.cat([mass_centers(m)[0] for m in masks])

    num_points = len(points.locations)
    cell, claimed = _claims(generator, points, all_boxes, centers, pos_radius)
    image_index = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    owner = _smallest_owner(
        cell + copy_to_device(image_index, cell.device)[:, None] * num_points,
        claimed,
        all_boxes,
        len(counts) * num_points,
    )
    owner = owner.view(len(counts), -1)

    x, y = points.locations.unbind(1)
    x0, y0, x1, y1 = F.pad(all_boxes, (0, 0, 0, 1))[owner].unbind(-1)  # index -1 is the background
    distances = torch.stack([x - x0, y - y0, x1 - x, y1 - y], dim=-1)
    # The center region is open, 2 * pos_radius strides wide: it holds at most ceil(2 * pos_radius) per axis.
    per_instance = len(generator.strides) * math.ceil(2 * pos_radius) ** 2
    return PointTargets(
        labels=F.pad(all_classes, (0, 1), value=num_classes)[owner],
        owner=owner,
        distances=torch.where(owner[..., None] >= 0, distances, 1.0),
        max_positives=min(max(counts) * per_instance, num_points),
        max_instances=max(counts),
    )


def _claims(
    generator: PointGenerator, points: Points, boxes: Tensor, centers: Tensor, radius: float
) -> tuple[Tensor, Tensor]:
    """Returns candidate locations (N, L * M * M) int64 in [0, K) and whether each instance claims them."""
    device = boxes.device
    strides = copy_to_device(generator.strides, device)
    offsets = copy_to_device([generator.offset(stride) for stride in generator.strides], device)
    heights, widths = copy_to_device(points.sizes, device).unbind(1)
    starts = (heights * widths).cumsum(0) - heights * widths
    ranges = copy_to_device(generator.size_ranges, device)

    half = radius * strides[:, None]
    low = torch.maximum(centers[:, None] - half, boxes[:, None, :2])  # (N, L, 2)
    high = torch.minimum(centers[:, None] + half, boxes[:, None, 2:])
    # One extra candidate on either side: rounding may shift the window, but the exact test below decides.
    around = torch.arange(math.ceil(2 * radius) + 2, device=device)
    first = ((centers[:, None] - half - offsets[:, None]) / strides[:, None]).floor().long()
    index = first[..., None] + around  # (N, L, 2, M)
    position = index * strides[:, None, None] + offsets[:, None, None]
    inside = (position > low[..., None]) & (position < high[..., None])
    inside &= (index >= 0) & (index < torch.stack([widths, heights], dim=1)[..., None])

    reach = torch.maximum(position - boxes[:, None, :2, None], boxes[:, None, 2:, None] - position)
    reach = torch.maximum(reach[:, :, 1, :, None], reach[:, :, 0, None, :])  # (N, L, M, M)
    claimed = inside[:, :, 1, :, None] & inside[:, :, 0, None, :]
    claimed &= (reach >= ranges[:, :1, None]) & (reach <= ranges[:, 1:, None])
    columns, rows = index.unbind(2)
    cell = starts[:, None, None] + rows[..., None] * widths[:, None, None] + columns[:, :, None]
    return cell.flatten(1), claimed.flatten(1)


def _smallest_owner(cell: Tensor, claimed: Tensor, boxes: Tensor, num_cells: int) -> Tensor:
    """Returns each cell's claimant with the smallest box: (num_cells,), the first of equals, -1 for none."""
    sides = boxes[:, 2:] - boxes[:, :2]
    order = (sides[:, 0] * sides[:, 1]).argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    # Unclaimed candidates go to a spare cell, so all shapes are fixed. Ranks are unique, so the minimum is
    # deterministic whatever the order of the writes.
    target = torch.where(claimed, cell, num_cells)
    best = torch.full((num_cells + 1,), len(order), device=order.device)
    best.scatter_reduce_(0, target.flatten(), rank[:, None].expand_as(cell).flatten(), reduce="amin")
    return F.pad(order, (0, 1), value=-1)[best[:-1]]


@torch.no_grad()
def assign_semantic_targets(
    classes: Sequence[Tensor],
    masks: Sequence[Tensor | RunMasks],
    size: tuple[int, int],
    *,
    stride: int,
    num_classes: int,
) -> Tensor:
    """Returns for every map pixel the class of the smallest mask that covers it, the first of equals.

    Args:
        classes: Per image (n,) int64.
        masks: Per image (n, H, W) bool at the image's own, unpadded size, or its runs.
        size: The map's height and width; times ``stride`` it is the padded input.
        stride: Input pixels per map pixel.
        num_classes: The label of background.

    Returns:
        (B, *size) int64.
    """
    return torch.stack(
        [
            _smallest_class(label, mask, size, stride, num_classes)
            for label, mask in zip(classes, masks, strict=True)
        ]
    )


def _smallest_class(
    classes: Tensor, masks: Tensor | RunMasks, size: tuple[int, int], stride: int, num_classes: int
) -> Tensor:
    order = mass_centers(masks)[1].argsort(stable=True)
    covered = sample_masks(masks, stride, size)[order]
    nothing = torch.ones(1, *size, dtype=torch.bool, device=classes.device)
    # argmax returns the first maximum: the smallest mask that covers the pixel, else the background row.
    first = torch.cat([covered, nothing]).to(torch.uint8).argmax(0)
    return F.pad(classes[order], (0, 1), value=num_classes)[first]


@dataclass(frozen=True)
class PositiveSampler:
    """Limits the number of masks computed in a training step.

    Attributes:
        max_proposals: At most this many per batch, at random (the paper's first version); -1: see below.
        topk_proposals_per_im: At most this many per image, divided equally between its instances, best scores
            first; every instance gets at least one. -1: all positives.
    """

    max_proposals: int
    topk_proposals_per_im: int

    @torch.no_grad()
    def __call__(self, targets: PointTargets, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Fills a number of slots, the same for all images, without the host waiting for the device.

        Args:
            targets: Of the batch.
            scores: (B, K), the detector's scores of the locations.

        Returns:
            Locations (B, S) int64, and (B, S) bool: whether the slot holds a positive. Other slots hold an
            arbitrary location.
        """
        if self.max_proposals >= 0:
            limit = self.max_proposals
            chosen = _random_positives(targets.owner >= 0, limit)
        elif self.topk_proposals_per_im >= 0:
            limit = max(self.topk_proposals_per_im, targets.max_instances)
            chosen = _best_positives(targets.owner, scores, self.topk_proposals_per_im)
        else:
            limit = targets.max_positives
            chosen = targets.owner >= 0
        # The number of positives is known only on the device; bounds known on the host fix the shape.
        limit = min(limit, targets.max_positives)
        if chosen.device.type == "cpu" and not torch.compiler.is_compiling():
            limit = min(limit, int(chosen.sum(1).max()))  # here the host need not wait, and no slot is wasted
        slots = chosen.to(torch.uint8).topk(limit, dim=1)
        return slots.indices, slots.values > 0


def _random_positives(positive: Tensor, limit: int) -> Tensor:
    """Keeps at most ``limit`` true entries of the whole batch: (B, K) bool."""
    # The largest random keys are a random subset; negatives have a key below all of them.
    keys = torch.rand(positive.shape, device=positive.device)
    best = torch.where(positive, keys, -1.0).flatten().topk(min(limit, positive.numel()))
    kept = torch.zeros(positive.numel(), dtype=torch.bool, device=positive.device)
    return kept.scatter_(0, best.indices, best.values >= 0).view_as(positive)


def _best_positives(owner: Tensor, scores: Tensor, limit: int) -> Tensor:
    """Keeps the best ``limit // number of instances`` positives, at least one, per instance: (B, K) bool."""
    # Two stable sorts are one sort by (owner, score).
    by_score = scores.argsort(dim=1, descending=True, stable=True)
    order = by_score.gather(1, owner.gather(1, by_score).argsort(dim=1, stable=True))
    grouped = owner.gather(1, order)  # background, then instance by instance, best score first
    position = torch.arange(grouped.shape[1], device=owner.device).expand_as(grouped)
    starts = torch.ones_like(grouped, dtype=torch.bool)
    starts[:, 1:] = grouped[:, 1:] != grouped[:, :-1]
    # The running maximum carries the start of each group to all its members.
    rank = position - torch.where(starts, position, 0).cummax(1).values
    num_instances = (starts & (grouped >= 0)).sum(1, keepdim=True)
    quota = torch.div(limit, num_instances.clamp(min=1), rounding_mode="floor").clamp(min=1)
    kept = (grouped >= 0) & (rank < quota)
    return torch.zeros_like(kept).scatter_(1, order, kept)


def sample_masks(masks: Tensor | RunMasks, stride: int, size: tuple[int, int]) -> Tensor:
    """Pads binary masks right and below and reads the pixel in the middle of every block.

    Args:
        masks: (N, h, w) bool, or runs.
        stride: Side of the blocks in pixels; the pixel is the one at ``stride // 2``.
        size: Target height and width; ``size * stride`` is the padded size, at least (h, w).

    Returns:
        (N, *size) bool.
    """
    if isinstance(masks, RunMasks):
        return masks.count_taps(stride, (stride // 2,), size).bool()
    grid = masks[:, stride // 2 :: stride, stride // 2 :: stride]
    return F.pad(grid, (0, size[1] - grid.shape[2], 0, size[0] - grid.shape[1]))
