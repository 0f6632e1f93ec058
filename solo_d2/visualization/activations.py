"""Pictures of what a grid model does: SOLO paper, figure 4; SOLOv2 paper, appendix C.

Maps cover the padded network input and are cropped to the image. Pictures are RGB uint8 (H, W, 3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from solo_d2.methods.grid.activations import Behavior

_SHEET_SIDE = 840  # pixels, roughly, of a sheet's longer side
_SMALLEST_TILE = 24
_GAP = 2
_GAP_COLOR = 255
_CELL_COLOR = (255, 60, 0)
_MAX_OVERLAP = 0.5  # part of the smaller mask, from which on two cells show the same object
_CANDIDATES = 100
_NUM_CHANNELS = 3  # channels shown per kernel
_CAPTION_PX = 18


@dataclass(frozen=True)
class View:
    """The image that a behaviour belongs to.

    Attributes:
        picture: RGB uint8 of the network input without padding, (h, w, 3).
        padded_size: Height and width of the padded network input.
    """

    picture: np.ndarray
    padded_size: tuple[int, int]

    def crop(self, maps: Tensor) -> Tensor:
        """Cuts the padding off maps (..., H, W) of any resolution."""
        size = [
            math.ceil(side * length / padded)
            for side, length, padded in zip(
                maps.shape[-2:], self.picture.shape[:2], self.padded_size, strict=True
            )
        ]
        return maps[..., : size[0], : size[1]]

    def with_cell(self, row: int, column: int, num_grid: int) -> np.ndarray:
        """A copy of the picture with one cell of an S x S grid outlined."""
        high, wide = (side / num_grid for side in self.padded_size)
        corners = [(column * wide, row * high), ((column + 1) * wide, (row + 1) * high)]
        start, end = (tuple(round(value) for value in corner) for corner in corners)
        line = max(1, self.picture.shape[0] // 100)
        outlined = cv2.rectangle(self.picture.copy(), start, end, (0, 0, 0), 3 * line)
        return cv2.rectangle(outlined, start, end, (255, 255, 255), line)


def draw_activations(behavior: Behavior, view: View, level: int, threshold: float) -> np.ndarray:
    """All soft masks of one level, each at its cell's place; cells that fire have a frame.

    Args:
        behavior: Predictions of the image.
        view: The image.
        level: Whose cells are shown.
        threshold: Category score above which a cell fires.
    """
    num_grid = behavior.layout.levels[level].num_grid
    cells = behavior.cells_of(level)
    size = _tile_size(view, num_grid)
    shrunk = [_shrink(view.crop(behavior.soft_masks(row)), size) for row in cells.split(num_grid)]
    fires = (behavior.scores[cells].amax(1) > threshold).tolist()
    tiles = [colorize(mask) for mask in torch.cat(shrunk)]
    for tile, fire in zip(tiles, fires, strict=True):
        if fire:
            cv2.rectangle(tile, (0, 0), (size[1] - 1, size[0] - 1), _CELL_COLOR, 2)
    return arrange(tiles, num_grid)


def draw_channels(behavior: Behavior, view: View) -> np.ndarray:
    """Every channel of the mask feature, each stretched to its own range, in a near-square sheet."""
    maps = view.crop(behavior.mask_feature)
    columns = math.ceil(len(maps) ** 0.5)
    size = _tile_size(view, columns)
    return arrange([_enlarge(colorize(_stretch(channel)), size) for channel in maps], columns)


def draw_kernels(behavior: Behavior, view: View, count: int, threshold: float) -> np.ndarray:
    """For the surest objects: the cell, where its kernel is repeated, what it reads, and what it makes.

    Columns: the cell; cosine similarity of its kernel to those of all cells of the level (black -1,
    bright 1); the channels whose weighted values differ most between mask and background, with their
    weights; the soft mask.

    Args:
        behavior: Predictions of the image; with kernels.
        view: The image.
        count: Objects shown, at most.
        threshold: Category score an object needs; the surest is shown in any case.
    """
    size = _tile_size(view, _NUM_CHANNELS + 3)
    captions = ["cell", "similar kernels", *(f"channel {i + 1}" for i in range(_NUM_CHANNELS)), "mask"]
    rows = [_caption(text, size[1]) for text in captions]
    for cell in surest_cells(behavior, count, threshold):
        rows += [_enlarge(tile, size) for tile in _kernel_row(behavior, view, cell)]
    return arrange(rows, len(captions))


def _kernel_row(behavior: Behavior, view: View, cell: int) -> list[np.ndarray]:
    layout = behavior.layout
    level = max(i for i, offset in enumerate(layout.offsets) if offset <= cell)
    num_grid = layout.levels[level].num_grid
    row, column = divmod(cell - layout.offsets[level], num_grid)
    kernel = behavior.kernels[cell]
    similarity = F.cosine_similarity(behavior.kernels[behavior.cells_of(level)], kernel[None], dim=1)
    mask = behavior.soft_masks(torch.tensor([cell], device=kernel.device))[0]
    inside = mask > 0.5
    weighted = behavior.mask_feature * kernel[:, None, None]
    outside_mean = weighted[:, ~inside].mean(1).nan_to_num()
    effect = (weighted[:, inside].mean(1) - outside_mean).nan_to_num()
    tiles = [view.with_cell(row, column, num_grid), colorize(_grid_map(view, (similarity + 1) / 2, num_grid))]
    for channel in effect.abs().topk(min(_NUM_CHANNELS, len(effect))).indices.tolist():
        tile = colorize(_stretch(view.crop(behavior.mask_feature[channel])))
        tiles.append(_write(_enlarge(tile, _double(tile)), f"{float(kernel[channel]):+.2f}"))
    return [*tiles, colorize(view.crop(mask))]


def surest_cells(behavior: Behavior, count: int, threshold: float) -> list[int]:
    """Returns the cells with the best category scores, one per object: their masks overlap little.

    Args:
        behavior: Predictions of the image.
        count: Cells returned, at most.
        threshold: Score that all but the first need.
    """
    chosen: list[int] = []
    masks: list[Tensor] = []
    scores, order = behavior.scores.amax(1).topk(min(_CANDIDATES, len(behavior.scores)))
    for score, cell in zip(scores.tolist(), order, strict=True):
        if chosen and (score <= threshold or len(chosen) == count):
            break
        mask = behavior.soft_masks(cell[None])[0] > 0.5
        smaller = [torch.minimum(mask.sum(), other.sum()) for other in masks]
        shared = [(mask & other).sum() / area for other, area in zip(masks, smaller, strict=True)]
        if mask.any() and all(part < _MAX_OVERLAP for part in shared):
            chosen.append(int(cell))
            masks.append(mask)
    return chosen


def colorize(values: Tensor) -> np.ndarray:
    """Colours a map (h, w) of values in [0, 1], dark blue to yellow."""
    grey = (values.float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def arrange(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Puts tiles into rows of ``columns``; tiles of a row have one height, all one width."""
    width = tiles[0].shape[1]
    rows = []
    for start in range(0, len(tiles), columns):
        row = list(tiles[start : start + columns])
        row += [np.full_like(row[0], _GAP_COLOR)] * (columns - len(row))
        gap = np.full((row[0].shape[0], _GAP, 3), _GAP_COLOR, np.uint8)
        rows.append(np.concatenate([part for tile in row for part in (tile, gap)][:-1], axis=1))
    gap = np.full((_GAP, columns * width + (columns - 1) * _GAP, 3), _GAP_COLOR, np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])


def _tile_size(view: View, columns: int) -> tuple[int, int]:
    """Height and width of a tile in the image's proportions."""
    height, width = view.picture.shape[:2]
    scale = max(_SHEET_SIDE // columns, _SMALLEST_TILE) / max(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def _shrink(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes maps (n, h, w) by averaging, so that thin parts stay visible in small tiles."""
    return F.interpolate(maps[:, None].float(), size=size, mode="bilinear", antialias=True)[:, 0]


def _enlarge(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a picture, showing its own pixels where it grows."""
    grows = size[0] >= picture.shape[0]
    method = cv2.INTER_NEAREST if grows else cv2.INTER_AREA
    return cv2.resize(picture, (size[1], size[0]), interpolation=method)


def _double(tile: np.ndarray) -> tuple[int, int]:
    """A size at which text on a tile can be read."""
    factor = max(1, math.ceil(150 / max(tile.shape[:2])))
    return tile.shape[0] * factor, tile.shape[1] * factor


def _stretch(values: Tensor) -> Tensor:
    """Maps the range of a map to [0, 1]; a constant map becomes 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low).clamp(min=1e-12)


def _grid_map(view: View, values: Tensor, num_grid: int) -> Tensor:
    """One value per cell, (S * S,), as a map over the image without padding."""
    height, width = view.padded_size
    rows = torch.arange(view.picture.shape[0], device=values.device) * num_grid // height
    columns = torch.arange(view.picture.shape[1], device=values.device) * num_grid // width
    return values.view(num_grid, num_grid)[rows[:, None], columns]


def _caption(text: str, width: int) -> np.ndarray:
    return _write(np.full((_CAPTION_PX, width, 3), _GAP_COLOR, np.uint8), text, (0, 0, 0))


def _write(picture: np.ndarray, text: str, color: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Writes into the lower left corner, in place."""
    place = (3, picture.shape[0] - 5)
    return cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)
