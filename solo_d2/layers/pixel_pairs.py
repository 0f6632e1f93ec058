"""Pairs of neighbouring pixels, each pair once."""

from collections.abc import Iterator

from torch import Tensor

# Rows and columns from the first to the second pixel of a pair, in units of the dilation. With the opposite
# ones these are the eight neighbours.
PAIR_OFFSETS = ((0, 1), (1, -1), (1, 0), (1, 1))


def pixel_pairs(values: Tensor, dilation: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields, for each of ``PAIR_OFFSETS``, the first and the second pixels of all pairs within a map.

    Args:
        values: (..., h, w).
        dilation: Pixels from the first to the second along an axis.

    Yields:
        Two views of one shape (..., h', w'), empty where the map is too small.
    """
    h, w = values.shape[-2:]
    for dy, dx in PAIR_OFFSETS:
        down, right = min(dy * dilation, h), min(abs(dx) * dilation, w)
        near, far = slice(0, w - right), slice(right, w)
        first, second = (near, far) if dx >= 0 else (far, near)
        yield values[..., : h - down, first], values[..., down:, second]
