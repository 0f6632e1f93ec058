"""Pictures of a grid model's activations: SOLO paper, figure 4; SOLOv2 paper, appendix C.

Maps cover the padded network input and are cropped to the image. Pictures are RGB uint8 (H, W, 3).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from solo_d2.methods.grid.activations import Activations

from .sheets import WHITE, make_sheet, split_rows

_SHEET_SIDE = 840  # approximate pixels of a sheet's longer side
_SMALLEST_TILE = 24
_SMALLEST_WITH_TEXT = 150
_GAP = 2
_CELL_COLOR = (255, 60, 0)
_BLACK, _WHITE = (0, 0, 0), (WHITE,) * 3
_MAX_OVERLAP = 0.5  # of the smaller mask; cells with more overlap show the same object
_CANDIDATES = 100  # cells considered as objects
_NUM_CHANNELS = 3  # channels shown per kernel
_CAPTION_HEIGHT = 18


@dataclass(frozen=True)
class View:
    """The image of some activations.

    Attributes:
        picture: RGB uint8 of the network input without padding, (h, w, 3).
        padded_size: Height and width of the padded network input.
    """

    picture: np.ndarray
    padded_size: tuple[int, int]

    def crop(self, maps: Tensor) -> Tensor:
        """Crops the padding of maps (..., H, W) of any resolution."""
        size = [
            math.ceil(side * length / padded)
            for side, length, padded in zip(
                maps.shape[-2:], self.picture.shape[:2], self.padded_size, strict=True
            )
        ]
        return maps[..., : size[0], : size[1]]

    def with_cell(self, row: int, column: int, num_grid: int) -> np.ndarray:
        """Returns a copy of the picture with one cell of an S x S grid outlined."""
        high, wide = (side / num_grid for side in self.padded_size)
        corners = [(column * wide, row * high), ((column + 1) * wide, (row + 1) * high)]
        start, end = (tuple(round(value) for value in corner) for corner in corners)
        line = max(1, self.picture.shape[0] // 100)
        outlined = cv2.rectangle(self.picture.copy(), start, end, _BLACK, 3 * line)
        return cv2.rectangle(outlined, start, end, _WHITE, line)


def draw_all(
    activations: Activations, view: View, level: int, count: int, threshold: float
) -> dict[str, np.ndarray]:
    """Draws all pictures that the model supports.

    Args:
        activations: Activations of the image.
        view: The image.
        level: Level whose cells :func:`draw_masks` shows.
        count: Maximum number of objects in :func:`draw_kernels`.
        threshold: Category score above which a cell fires.

    Returns:
        The pictures by name: "activations" and, if the model has them, "channels" and "kernels".
    """
    pictures = {"activations": draw_masks(activations, view, level, threshold)}
    if activations.mask_feature is not None:
        pictures["channels"] = draw_channels(activations.mask_feature, view)
    if activations.kernels is not None:
        pictures["kernels"] = draw_kernels(activations, view, count, threshold)
    return pictures


def draw_masks(activations: Activations, view: View, level: int, threshold: float) -> np.ndarray:
    """Draws the soft masks of one level, each at its cell's position; cells that fire have a frame.

    Args:
        activations: Activations of the image.
        view: The image.
        level: Level whose cells are shown.
        threshold: Category score above which a cell fires.
    """
    num_grid = activations.layout.levels[level].num_grid
    cells = activations.cells_of(level)
    size = _tile_size(view, num_grid)
    shrunk = [_shrink(view.crop(activations.soft_masks(row)), size) for row in cells.split(num_grid)]
    fires = (activations.scores[cells].amax(1) > threshold).tolist()
    tiles = [colorize(mask) for mask in torch.cat(shrunk)]
    for tile, fire in zip(tiles, fires, strict=True):
        if fire:
            cv2.rectangle(tile, (0, 0), (size[1] - 1, size[0] - 1), _CELL_COLOR, 2)
    return make_sheet(split_rows(tiles, num_grid), _GAP)


def draw_channels(mask_feature: Tensor, view: View) -> np.ndarray:
    """Draws every channel of the mask feature (E, h, w), each stretched to its own range."""
    maps = view.crop(mask_feature)
    columns = math.ceil(len(maps) ** 0.5)
    size = _tile_size(view, columns)
    tiles = [_enlarge(colorize(_stretch(channel)), size) for channel in maps]
    return make_sheet(split_rows(tiles, columns), _GAP)


def draw_kernels(activations: Activations, view: View, count: int, threshold: float) -> np.ndarray:
    """Draws the cell, similar kernels, kernel inputs, and mask of the highest-scoring objects.

    Columns: the cell; cosine similarity of its kernel to those of all cells of the level (black -1,
    bright 1); the channels whose weighted values differ most between mask and background, with their
    weights; the soft mask.

    Args:
        activations: Activations of the image, with kernels.
        view: The image.
        count: Maximum number of objects.
        threshold: Minimum category score of an object; the best object is always shown.
    """
    size = _tile_size(view, _NUM_CHANNELS + 3)
    captions = ["cell", "similar kernels", *(f"channel {i + 1}" for i in range(_NUM_CHANNELS)), "mask"]
    rows = [[_caption(text, size[1]) for text in captions]]
    for cell in surest_cells(activations, count, threshold):
        rows.append([_enlarge(tile, size) for tile in _kernel_row(activations, view, cell)])
    return make_sheet(rows, _GAP)


def _kernel_row(activations: Activations, view: View, cell: int) -> list[np.ndarray]:
    kernels, feature = activations.kernels, activations.mask_feature
    if kernels is None or feature is None:
        raise ValueError("these activations have no kernels")
    layout = activations.layout
    level = max(i for i, offset in enumerate(layout.offsets) if offset <= cell)
    num_grid = layout.levels[level].num_grid
    row, column = divmod(cell - layout.offsets[level], num_grid)
    kernel = kernels[cell]
    similarity = F.cosine_similarity(kernels[activations.cells_of(level)], kernel[None], dim=1)
    mask = activations.soft_masks(torch.tensor([cell], device=kernel.device))[0]
    tiles = [view.with_cell(row, column, num_grid), colorize(_grid_map(view, (similarity + 1) / 2, num_grid))]
    for channel in _telling_channels(feature * kernel[:, None, None], mask > 0.5):
        tile = colorize(_stretch(view.crop(feature[channel])))
        tiles.append(_write(_enlarge(tile, _readable(tile)), f"{float(kernel[channel]):+.2f}"))
    return [*tiles, colorize(view.crop(mask))]


def _telling_channels(weighted: Tensor, inside: Tensor) -> list[int]:
    """Returns the channels of maps (E, h, w) whose means inside and outside a mask (h, w) differ most."""
    outside_mean = weighted[:, ~inside].mean(1).nan_to_num()
    effect = (weighted[:, inside].mean(1) - outside_mean).nan_to_num()
    return effect.abs().topk(min(_NUM_CHANNELS, len(effect))).indices.tolist()


def surest_cells(activations: Activations, count: int, threshold: float) -> list[int]:
    """Returns the cells with the best category scores whose masks overlap little: one per object.

    Args:
        activations: Activations of the image.
        count: Maximum number of cells.
        threshold: Minimum score of all but the first cell.
    """
    chosen: list[int] = []
    masks: list[Tensor] = []
    scores, order = activations.scores.amax(1).topk(min(_CANDIDATES, len(activations.scores)))
    for score, cell in zip(scores.tolist(), order, strict=True):
        if chosen and (score <= threshold or len(chosen) == count):
            break
        mask = activations.soft_masks(cell[None])[0] > 0.5
        smaller = [torch.minimum(mask.sum(), other.sum()) for other in masks]
        shared = [(mask & other).sum() / area for other, area in zip(masks, smaller, strict=True)]
        if mask.any() and all(part < _MAX_OVERLAP for part in shared):
            chosen.append(int(cell))
            masks.append(mask)
    return chosen


def colorize(values: Tensor) -> np.ndarray:
    """Colors a map (h, w) of values in [0, 1], dark blue to yellow."""
    gray = (values.float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    return cv2.cvtColor(cv2.applyColorMap(gray, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def _tile_size(view: View, columns: int) -> tuple[int, int]:
    """Returns height and width of a tile in the image's proportions."""
    height, width = view.picture.shape[:2]
    scale = max(_SHEET_SIDE // columns, _SMALLEST_TILE) / max(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def _shrink(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes maps (n, h, w) by averaging, so that thin parts stay visible in small tiles."""
    return F.interpolate(maps[:, None].float(), size=size, mode="bilinear", antialias=True)[:, 0]


def _enlarge(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a picture; enlarged pixels stay sharp."""
    grows = size[0] >= picture.shape[0]
    method = cv2.INTER_NEAREST if grows else cv2.INTER_AREA
    return cv2.resize(picture, (size[1], size[0]), interpolation=method)


def _readable(tile: np.ndarray) -> tuple[int, int]:
    """Returns a multiple of the tile's size that is large enough for readable text."""
    factor = max(1, math.ceil(_SMALLEST_WITH_TEXT / max(tile.shape[:2])))
    return tile.shape[0] * factor, tile.shape[1] * factor


def _stretch(values: Tensor) -> Tensor:
    """Maps the range of a map to [0, 1]; a constant map becomes 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low).clamp(min=1e-12)


def _grid_map(view: View, values: Tensor, num_grid: int) -> Tensor:
    """Expands one value per cell, (S * S,), to the image without padding."""
    height, width = view.padded_size
    rows = torch.arange(view.picture.shape[0], device=values.device) * num_grid // height
    columns = torch.arange(view.picture.shape[1], device=values.device) * num_grid // width
    return values.view(num_grid, num_grid)[rows[:, None], columns]


def _caption(text: str, width: int) -> np.ndarray:
    return _write(np.full((_CAPTION_HEIGHT, width, 3), WHITE, np.uint8), text, _BLACK)


def _write(picture: np.ndarray, text: str, color: tuple[int, ...] = _WHITE) -> np.ndarray:
    """Writes text into the lower left corner, in place."""
    place = (3, picture.shape[0] - 5)
    return cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)
