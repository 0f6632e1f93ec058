"""Finds pairs of neighboring pixels with similar colors, in CIELAB (BoxInst; FreeSOLO, section 6.2.3).

B: images; H, W: padded network input; h, w: that divided by the stride.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_d2.utils.device import copy_to_device
from solo_d2.utils.errors import InputError

# Rows and columns from the first to the second pixel of a pair, in units of the dilation. With their
# opposites these are the eight neighbors.
PAIR_OFFSETS = ((0, 1), (1, -1), (1, 0), (1, 1))


def pixel_pairs(values: Tensor, dilation: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields, for each of ``PAIR_OFFSETS``, the first and the second pixels of all pairs within a map.

    Args:
        values: (..., h, w).
        dilation: Distance in pixels between the two of a pair, along an axis.

    Yields:
        Two views of one shape (..., h', w'), empty if the map is too small.
    """
    h, w = values.shape[-2:]
    for dy, dx in PAIR_OFFSETS:
        down, right = min(dy * dilation, h), min(abs(dx) * dilation, w)
        near, far = slice(0, w - right), slice(right, w)
        first, second = (near, far) if dx >= 0 else (far, near)
        yield values[..., : h - down, first], values[..., down:, second]


# IEC 61966-2-1 (sRGB): linear RGB to XYZ; the white point D65.
_XYZ_OF_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.950456, 1.0, 1.088754)
# Threshold below which CIE 1976 replaces the cube root by a line, and that line.
_LINEAR_BELOW, _LINEAR_SLOPE, _LINEAR_OFFSET = 0.008856, 7.787, 16 / 116


def rgb_to_lab(images: Tensor) -> Tensor:
    """Converts sRGB to CIELAB (D65).

    Args:
        images: (B, 3, h, w) float in [0, 255], red first.

    Returns:
        (B, 3, h, w): L in [0, 100], then a and b.
    """
    scaled = (images / 255).clamp(0, 1)
    linear = torch.where(scaled > 0.04045, ((scaled + 0.055) / 1.055) ** 2.4, scaled / 12.92)
    xyz = _white_xyz_of_rgb(images.device, images.dtype) @ linear.flatten(2)
    root = torch.where(xyz > _LINEAR_BELOW, xyz ** (1 / 3), _LINEAR_SLOPE * xyz + _LINEAR_OFFSET)
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1).unflatten(2, images.shape[2:])


@functools.cache
@torch.inference_mode(False)
def _white_xyz_of_rgb(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Returns the (3, 3) matrix from linear RGB to XYZ relative to the white point; cached per device."""
    white = torch.tensor(_WHITE, dtype=dtype)[:, None]
    return (torch.tensor(_XYZ_OF_RGB, dtype=dtype) / white).to(device)


@dataclass(frozen=True)
class SimilarPairs:
    """Finds the similar pairs of a batch's images; see ``freesolo/config.py``.

    Attributes:
        pairwise_dilation: Distance in mask pixels between the two of a pair, along an axis.
        pairwise_color_thr: Minimum color similarity of two pixels that should share a mask label.
        bottom_pixels_removed: Bottom rows of the original images whose colors are ignored.
        format: "RGB" or "BGR", the channel order of the images.

    Raises:
        InputError: If the threshold is outside (0, 1].
    """

    pairwise_dilation: int
    pairwise_color_thr: float
    bottom_pixels_removed: int
    format: str

    def __post_init__(self):
        if not 0 < self.pairwise_color_thr <= 1:
            raise InputError(
                f"pairwise_color_thr must be above 0 and at most 1, not {self.pairwise_color_thr}; "
                "pairwise_weight 0 turns the pairwise loss off"
            )

    def __call__(self, batched_inputs: Sequence[dict], padding: Tensor, stride: int) -> Tensor:
        """Runs :func:`find_similar_pairs`, ignoring padding and bottom rows.

        Args:
            batched_inputs: "image" (3, h, w) with values 0 to 255, and "height" of the original image.
            padding: (B, 3, H, W) float, the background that the images are written onto from the top left.
            stride: Input pixels per mask pixel.
        """
        pixels, heights, widths = padding, [], []
        for canvas, x in zip(pixels, batched_inputs, strict=True):
            height, width = x["image"].shape[1:]
            canvas[:, :height, :width] = x["image"]
            heights.append(height - self.bottom_pixels_removed * height // x.get("height", height))
            widths.append(width)
        return find_similar_pairs(
            pixels.flip(1) if self.format == "BGR" else pixels,
            heights,
            widths,
            stride=stride,
            dilation=self.pairwise_dilation,
            threshold=self.pairwise_color_thr,
        )


@torch.no_grad()
def find_similar_pairs(
    images: Tensor,
    heights: Sequence[int],
    widths: Sequence[int],
    *,
    stride: int,
    dilation: int,
    threshold: float,
) -> Tensor:
    """Finds pairs of pixels whose similarity exp(-|difference in Lab| / 2) reaches a threshold.

    Args:
        images: (B, 3, H, W) float in [0, 255], red first; H and W are multiples of the stride.
        heights: Number of valid rows of each image, from the top; the others are padding or unreliable.
        widths: Number of valid columns of each image, from the left.
        stride: Side in pixels of the squares over which images are averaged first.
        dilation: Distance in reduced pixels between the two of a pair, along an axis.
        threshold: Minimum similarity, in (0, 1].

    Returns:
        (B, 4, h, w) bool: whether the pair that starts at this pixel is similar, for each of
        :data:`PAIR_OFFSETS`; False if one of the two pixels is invalid or outside.
    """
    with torch.autocast(images.device.type, enabled=False):
        lab = rgb_to_lab(F.avg_pool2d(images.float(), stride))
    valid = _valid_pixels(heights, widths, stride, lab)
    # exp(-d / 2) >= t is d^2 <= (2 log t)^2, since log t <= 0: no root and no exponential per pixel.
    limit = (2 * math.log(threshold)) ** 2
    similar = valid.new_zeros(len(lab), len(PAIR_OFFSETS), *lab.shape[2:])
    views = zip(*(pixel_pairs(x, dilation) for x in (lab, valid, similar)), strict=True)
    for direction, ((a, b), (first, second), (out, _)) in enumerate(views):
        out[:, direction] = ((a - b).square().sum(1) <= limit) & first & second
    return similar


def _valid_pixels(heights: Sequence[int], widths: Sequence[int], stride: int, lab: Tensor) -> Tensor:
    """Marks the reduced pixels whose middle is valid: (B, h, w) bool."""
    limits = copy_to_device(torch.tensor([list(heights), list(widths)]), lab.device)
    middles = [torch.arange(n, device=lab.device) * stride + stride // 2 for n in lab.shape[2:]]
    rows, columns = (middle < limit[:, None] for middle, limit in zip(middles, limits, strict=True))
    return rows[:, :, None] & columns[:, None, :]
