import pytest
import torch

from solo_d2.methods.freesolo.targets import PAIR_OFFSETS, pixel_pairs


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("size", [(5, 7), (1, 9), (6, 2), (1, 1)])
def test_every_neighbor_once(size, dilation):
    h, w = size
    numbers = torch.arange(h * w).view(h, w)
    found = []
    for first, second in pixel_pairs(numbers, dilation):
        assert first.shape == second.shape
        found += zip(first.flatten().tolist(), second.flatten().tolist(), strict=True)
    expected = []
    for y in range(h):
        for x in range(w):
            for dy in (-dilation, 0, dilation):
                for dx in (-dilation, 0, dilation):
                    if (dy, dx) > (0, 0) and y + dy < h and 0 <= x + dx < w:
                        expected.append((y * w + x, (y + dy) * w + x + dx))
    assert sorted(found) == sorted(expected)


def test_order_is_that_of_the_offsets_and_leading_axes_stay():
    values = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    for (dy, dx), (first, second) in zip(PAIR_OFFSETS, pixel_pairs(values), strict=True):
        assert first.shape[:2] == (2, 3)
        assert ((second - first) == dy * 5 + dx).all()
