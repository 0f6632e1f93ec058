"""Binary masks as runs of their columns; mass centers, boxes, and reduced copies of binary masks.

N: masks; h, w: their size in pixels; R: runs.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from detectron2.structures import BitMasks, Boxes
from solo_d2.utils.device import copy_to_device

# A byte lane of an int64 sum overflows into the next lane above this many ones.
_LANE_CAPACITY = 255


def count_rows_and_columns(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Counts the true pixels of every row and every column.

    Eight neighboring bool pixels, one byte each, are one int64 word. A sum of words is thus eight byte-wide
    sums at once, as long as the runs are short enough for a byte.

    Args:
        masks: (N, h, w) bool.

    Returns:
        Rows (N, h) and columns (N, w), int64.
    """
    n, h, w = masks.shape
    # A view as int64 needs rows of whole words at aligned addresses.
    if w % 8 or masks.storage_offset() % 8 or not masks.numel():
        padded = masks.new_zeros(n, h, w + -w % 8)
        padded[..., :w] = masks
    else:
        padded = masks.contiguous()
    words = padded.view(torch.int64)
    return _sum_lanes(words, dim=2).sum(-1), _sum_lanes(words, dim=1).flatten(1)[:, :w]


def _sum_lanes(words: Tensor, dim: int) -> Tensor:
    """Sums (N, a, b) words over ``dim``, byte lane by byte lane: (N, b or a, 8) int64."""
    runs = [run.sum(dim, keepdim=True) for run in words.split(_LANE_CAPACITY, dim=dim)]
    lanes = [run.squeeze(dim).unsqueeze(-1).view(torch.uint8) for run in runs]
    return torch.stack(lanes).sum(0)


class RunMasks(BitMasks):
    """Bit masks of one image as the vertical runs of their pixels, which need far less memory.

    All that ``BitMasks`` can do works, on any device; ``tensor`` makes dense masks at every access.

    Attributes:
        runs: (R, 3) int32: column, first row, and one past the last row. Mask after mask, in any order within
            one; runs of a mask do not overlap. Always on the CPU.
        counts: (N,) int64, runs of each mask. Always on the CPU.
        image_size: h and w.
    """

    def __init__(
        self,
        runs: Tensor,
        counts: Tensor,
        image_size: Sequence[int],
        device: torch.device | str = "cpu",
    ):
        """
        Args:
            runs: See the attribute.
            counts: See the attribute.
            image_size: h and w.
            device: Device of dense masks and of what is computed from the masks.
        """
        self.runs = runs
        self.counts = counts
        self.image_size = torch.Size(image_size)
        self._device = torch.device(device)

    @property
    def tensor(self) -> Tensor:  # type: ignore[override]  # BitMasks stores it
        """Returns new dense masks, (N, h, w) bool on the masks' device."""
        height, width = self.image_size
        dense = torch.zeros(len(self), height * width, dtype=torch.bool)
        for mask, runs in zip(dense, self.runs.long().split(self.counts.tolist()), strict=True):
            column, top, bottom = runs.unbind(1)
            place, row = _expand(bottom - top)
            mask[(top[place] + row) * width + column[place]] = True
        return dense.view(-1, height, width).to(self._device)

    @property
    def device(self) -> torch.device:
        """Device of dense masks and of what is computed from the masks."""
        return self._device

    def to(self, *args: Any, **kwargs: Any) -> "RunMasks":
        """Returns masks with another device; the runs stay on the CPU. Takes the arguments of a tensor's."""
        return RunMasks(self.runs, self.counts, self.image_size, torch.empty(0).to(*args, **kwargs).device)

    def __getitem__(self, item: Any) -> "RunMasks":
        """Selects masks by int (one mask), slice, or index or bool tensor."""
        item = item.cpu() if isinstance(item, Tensor) else item
        index = torch.arange(len(self))[item].reshape(-1)
        starts = self.counts.cumsum(0) - self.counts
        place, offset = _expand(self.counts[index])
        return RunMasks(
            self.runs[starts[index][place] + offset], self.counts[index], self.image_size, self._device
        )

    def __iter__(self) -> Iterator[Tensor]:
        """Yields each dense mask, (h, w) bool."""
        for index in range(len(self)):
            yield self[index].tensor[0]

    def __len__(self) -> int:
        return self.counts.shape[0]

    def __repr__(self) -> str:
        return f"RunMasks(num_instances={len(self)})"

    def nonempty(self) -> Tensor:
        """Returns (N,) bool, True for masks with any pixel."""
        return copy_to_device(self.counts > 0, self._device)

    def get_bounding_boxes(self) -> Boxes:
        """Returns tight boxes, right and lower bounds one past the last pixel; zeros for an empty mask."""
        column, top, bottom = self.runs.unbind(1)
        corners = torch.stack([-column, -top, column + 1, bottom], dim=1)
        owner = self._owner()[:, None].expand(-1, 4)
        # The smallest column and row are negated, so that all four are maxima.
        limits = torch.zeros(len(self), 4, dtype=torch.int32)
        limits = limits.scatter_reduce(0, owner, corners, reduce="amax", include_self=False)
        limits[:, :2].neg_()
        return Boxes(copy_to_device(limits.float(), self._device))

    @staticmethod
    def cat(bitmasks_list: Sequence[BitMasks]) -> BitMasks:
        """Joins masks of one image size; the result has runs if all have."""
        runs = [masks for masks in bitmasks_list if isinstance(masks, RunMasks)]
        if len(runs) < len(bitmasks_list):
            return BitMasks(torch.cat([masks.tensor for masks in bitmasks_list]))
        return RunMasks.join(runs)

    @staticmethod
    def join(parts: Sequence["RunMasks"]) -> "RunMasks":
        """Joins at least one set of masks of one image size."""
        assert all(masks.image_size == parts[0].image_size for masks in parts)
        runs, counts = (torch.cat([getattr(masks, name) for masks in parts]) for name in ("runs", "counts"))
        return RunMasks(runs, counts, parts[0].image_size, parts[0].device)

    def moments(self) -> Tensor:
        """Returns each mask's area and the sums of its pixels' columns and rows, (N, 3) int64."""
        column, top, bottom = self.runs.long().unbind(1)
        length = bottom - top
        values = torch.stack([length, column * length, (top + bottom - 1) * length // 2], dim=1)
        sums = torch.zeros(len(self), 3, dtype=torch.int64).index_add_(0, self._owner(), values)
        return copy_to_device(sums, self._device)

    def count_taps(self, stride: int, taps: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Counts the true pixels among some of every block.

        Args:
            stride: Side of the blocks in pixels.
            taps: The rows and the columns of a block to read, from 0; every pair of them is one pixel.
            size: Rows and columns of blocks; they cover the image.

        Returns:
            (N, *size) uint8.
        """
        found = torch.zeros(len(self) * size[0] * size[1], dtype=torch.uint8)
        runs, owner = self.runs.long(), self._owner() * size[0]
        for tap in taps:
            chosen = (runs[:, 0] % stride == tap).nonzero().squeeze(1)
            column, top, bottom = runs[chosen].unbind(1)
            for row in taps:
                first, end = ((bound - row + stride - 1) // stride for bound in (top, bottom))
                place, offset = _expand(end - first)
                start = (owner[chosen] + first) * size[1] + column // stride
                found[start[place] + offset * size[1]] += 1  # no pixel twice: runs do not overlap
        return copy_to_device(found.view(-1, *size), self._device)

    def _owner(self) -> Tensor:
        """Returns the mask of each run, (R,) int64."""
        return torch.arange(len(self)).repeat_interleave(self.counts)


def _expand(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Returns, for each element of ranges of these lengths, its range and its position within it: int64."""
    place = torch.arange(len(lengths)).repeat_interleave(lengths)
    return place, torch.arange(len(place)) - (lengths.cumsum(0) - lengths)[place]


def mass_centers(masks: Tensor | RunMasks) -> tuple[Tensor, Tensor]:
    """Computes the mean position of each mask's true pixels.

    Args:
        masks: (N, h, w) bool, or runs.

    Returns:
        Centers (N, 2) float32 as x, y in pixel indices (the first pixel's center is 0), the origin for an
        empty mask; and areas (N,) int64 in pixels.
    """
    if isinstance(masks, RunMasks):
        area, x, y = masks.moments().unbind(1)
    else:
        rows, columns = count_rows_and_columns(masks)
        area = rows.sum(1)
        x = (columns * torch.arange(columns.shape[1], device=masks.device)).sum(1)
        y = (rows * torch.arange(rows.shape[1], device=masks.device)).sum(1)
    centers = torch.stack([x, y], dim=1).float() / area.clamp(min=1).float()[:, None]
    return centers, area


def boxes_from_masks(masks: Tensor) -> Tensor:
    """Computes tight boxes.

    Args:
        masks: (N, h, w) bool.

    Returns:
        (N, 4) float32 XYXY, the right and lower bounds one past the last pixel; zeros for an empty mask.
    """
    x0, x1 = extent(masks.any(1))
    y0, y1 = extent(masks.any(2))
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first and one past the last true index of each (N, L) row; 0 and 0 for an empty row."""
    positions = torch.arange(1, occupied.shape[1] + 1, device=occupied.device)
    ends = torch.where(occupied, positions, 0).amax(1)
    starts = torch.where(occupied, positions, occupied.shape[1] + 1).amin(1) - 1
    return torch.where(ends > 0, starts, 0), ends
