"""Assigns instances to grid cells (SOLO paper, section 3.3.1; contours as targets: appendix B.3).

B: images; N: instances of the batch; L: levels; K: cells per image; P: positive (cell, instance) pairs.
Every instance has L * 3 * 3 candidate cells: the neighborhood of its center cell on every level. Its
positives are a mask over that fixed shape, so nothing loops over instances or cells.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_d2.structures import RunMasks, mass_centers
from solo_d2.utils.device import copy_to_device

from .layout import GridLayout, GridTargets


def trace_contours(masks: Tensor) -> Tensor:
    """Traces outlines, one pixel wide, of objects and their holes, as OpenCV's ``findContours`` does.

    An outline is the mask's pixels with at least one of their four neighbors outside the mask or the image.

    Args:
        masks: (N, h, w) bool.

    Returns:
        (N, h, w) bool.
    """
    padded = F.pad(masks, (1, 1, 1, 1))
    above, below = padded[:, :-2, 1:-1], padded[:, 2:, 1:-1]
    left, right = padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]
    return masks & ~(above & below & left & right)


@torch.no_grad()
def assign_grid_targets(
    layout: GridLayout,
    boxes: Sequence[Tensor],
    classes: Sequence[Tensor],
    masks: Sequence[Tensor | RunMasks],
    feature_size: tuple[int, int],
    *,
    num_classes: int,
    sigma: float,
    mask_strides: Sequence[int],
    share_cells: bool,
    contours: bool = False,
    has_mask: Tensor | None = None,
) -> GridTargets:
    """Assigns ground truth to grid cells.

    Args:
        layout: The model's levels.
        boxes: Per image (n, 4) float XYXY in network-input pixels; their size decides the levels.
        classes: Per image (n,) int64.
        masks: Per image (n, h, w) bool at the image's own, unpadded size, or its runs.
        feature_size: Height and width of the finest masks; times ``mask_strides[0]`` it is the padded input.
        num_classes: The label of background cells.
        sigma: Center region's sides as a fraction of the box's.
        mask_strides: Input pixels per mask pixel, finest first, each dividing the padded input.
        share_cells: Whether instances that claim one cell are separate positives (SOLOv2); otherwise the last
            one owns it (SOLO, which predicts one mask per cell).
        contours: Whether the targets are the contours of the masks instead of the masks.
        has_mask: (N,) bool, instances whose masks may be learned. The masks of the others only give a center:
            they give their cells a class, but are not positives. None: all have one.

    Returns:
        The targets, on the device of the ground truth.
    """
    counts = [len(c) for c in classes]
    image_index = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    all_boxes, all_classes = torch.cat(list(boxes)), torch.cat(list(classes))
    device = all_classes.device
    geometry = [mass_centers(m) for m in masks]
    centers = torch.cat([center for center, _ in geometry])
    areas = torch.cat([area for _, area in geometry])

    padded_size = (feature_size[0] * mask_strides[0], feature_size[1] * mask_strides[0])
    cell, positive = _candidate_cells(layout, all_boxes, centers, padded_size, sigma)
    positive &= (areas > 0)[:, None, None]
    cell = cell + (copy_to_device(image_index, device) * layout.num_cells)[:, None, None]

    owner = _last_owner(cell, positive, len(counts) * layout.num_cells).view(len(counts), -1)
    labels = F.pad(all_classes, (0, 1), value=num_classes)[owner]  # index -1 is the background
    taught = torch.ones_like(all_classes, dtype=torch.bool) if has_mask is None else has_mask
    if share_cells:
        positive = positive & taught[:, None, None]
        instance, slot = positive.flatten(1).nonzero(as_tuple=True)
        positive_cell = cell.flatten(1)[instance, slot]
    else:
        positive_cell = F.pad(taught, (0, 1))[owner].flatten().nonzero().squeeze(1)
        instance = owner.flatten()[positive_cell]
    small = {stride: _small_masks(masks, stride, padded_size) for stride in mask_strides}
    return GridTargets(
        labels=labels,
        owner=owner,
        positive_instance=instance,
        positive_cell=positive_cell,
        masks={stride: trace_contours(m) for stride, m in small.items()} if contours else small,
    )


def _small_masks(masks: Sequence[Tensor | RunMasks], stride: int, padded_size: tuple[int, int]) -> Tensor:
    """Returns all instances' masks at 1 / ``stride`` of the padded size: (N, h, w) bool."""
    size = (padded_size[0] // stride, padded_size[1] // stride)
    return torch.cat([downsample_masks(m, stride, size) for m in masks])


def _candidate_cells(
    layout: GridLayout,
    boxes: Tensor,
    centers: Tensor,
    padded_size: tuple[int, int],
    sigma: float,
) -> tuple[Tensor, Tensor]:
    """Returns the cells around each center, (N, L, 9) int64 in [0, K), and which are positive, (N, L, 9)."""
    device = boxes.device
    grids = copy_to_device(layout.num_grids, device)
    scale_ranges = copy_to_device([level.scale_range for level in layout.levels], device)
    sides = boxes[:, 2:] - boxes[:, :2]
    scale = (sides[:, 0] * sides[:, 1]).sqrt()[:, None]
    in_range = (scale >= scale_ranges[:, 0]) & (scale <= scale_ranges[:, 1])

    size = copy_to_device(padded_size[::-1], device)
    half = 0.5 * sigma * sides
    center = _cell_of(centers, size, grids)  # (N, L, 2)
    last = (grids - 1)[None, :, None]
    # The paper's center region, cut to the 3x3 cells around the center as in the published models.
    first = torch.maximum(_cell_of(centers - half, size, grids).clamp(min=0), center - 1)
    final = torch.minimum(_cell_of(centers + half, size, grids).minimum(last), center + 1)

    around = center[:, :, None] + torch.arange(-1, 2, device=device)[:, None]  # (N, L, 3, 2)
    inside = (around >= first[:, :, None]) & (around <= final[:, :, None])
    columns, rows = around.unbind(-1)
    offsets = copy_to_device(layout.offsets, device)
    cells = offsets[:, None, None] + rows[..., None] * grids[:, None, None] + columns[..., None, :]
    positive = inside[..., 1][..., None] & inside[..., 0][..., None, :]
    return cells.flatten(2), positive.flatten(2) & in_range[..., None]


def _cell_of(points: Tensor, size: Tensor, grids: Tensor) -> Tensor:
    """Maps (N, 2) points to grid columns and rows, (N, L, 2) int64, rounding as the published models do.

    They divide by 1/S in float32, so a point exactly on a cell boundary can fall into the lower cell.
    """
    return ((points / size)[:, None] / (1.0 / grids.double()).float()[None, :, None]).long()


def _last_owner(cells: Tensor, positive: Tensor, num_cells: int) -> Tensor:
    """Returns for each cell the last instance that claims it, -1 for none: (num_cells,) int64."""
    instance = torch.arange(len(cells), device=cells.device)[:, None, None].expand_as(cells)
    # Cells that are not positive go to a spare cell, so all shapes are fixed. The maximum, unlike an indexed
    # write, does not depend on the order of the writes.
    target = torch.where(positive, cells, num_cells)
    owner = torch.full((num_cells + 1,), -1, device=cells.device)
    owner.scatter_reduce_(0, target.flatten(), instance.flatten(), reduce="amax")
    return owner[:-1]


def downsample_masks(masks: Tensor | RunMasks, stride: int, size: tuple[int, int]) -> Tensor:
    """Pads binary masks right and below, then shrinks them as an 8-bit bilinear image resize would.

    At an even factor, such a resize reads only the central 2x2 pixels of each block, and rounding makes the
    result true if at least two of the four are. A tiny object can thus vanish.

    Args:
        masks: (N, h, w) bool, or runs.
        stride: Pixels per target pixel, even.
        size: Target height and width; ``size * stride`` is the padded size, at least (h, w).

    Returns:
        (N, *size) bool.
    """
    low, high = stride // 2 - 1, stride // 2
    if isinstance(masks, RunMasks):
        return masks.count_taps(stride, (low, high), size) >= 2
    pixels = masks.view(torch.uint8)

    def tap(y: int, x: int) -> Tensor:
        grid = pixels[:, y::stride, x::stride]
        return F.pad(grid, (0, size[1] - grid.shape[2], 0, size[0] - grid.shape[1]))

    return tap(low, low) + tap(low, high) + tap(high, low) + tap(high, high) >= 2
