"""Colours against OpenCV's conversion, similar pairs against loops."""

import cv2
import numpy as np
import pytest
import torch

from solo_d2.layers import PAIR_OFFSETS
from solo_d2.targets import find_similar_pairs, rgb_to_lab

# sRGB -> CIELAB (D65) as colour tables list them.
KNOWN = {
    (0, 0, 0): (0, 0, 0),
    (255, 255, 255): (100, 0, 0),
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
    (119, 119, 119): (50.03, 0, 0),
}


def test_lab_of_known_colours():
    pixels = torch.tensor(list(KNOWN), dtype=torch.float32).T.view(1, 3, 1, -1)
    expected = torch.tensor(list(KNOWN.values()), dtype=torch.float32).T
    torch.testing.assert_close(rgb_to_lab(pixels)[0, :, 0], expected, atol=0.05, rtol=0)


def test_lab_is_opencvs():
    """Which reads it from a table and is itself a few tenths off."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), np.uint8)
    ours = rgb_to_lab(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    for image, lab in zip(pixels, ours, strict=True):
        expected = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        error = np.abs(lab.permute(1, 2, 0).numpy() - expected)
        assert error.max() < 0.6 and error.mean() < 0.15


def similar_by_loops(images, heights, widths, stride, dilation, threshold):
    b, _, h, w = images.shape
    h, w = h // stride, w // stride
    small = images.double().view(b, 3, h, stride, w, stride).mean((3, 5))
    lab = rgb_to_lab(small)
    result = torch.zeros(b, 4, h, w, dtype=torch.bool)

    def counts(i, y, x):
        return y * stride + stride // 2 < heights[i] and x * stride + stride // 2 < widths[i]

    for i in range(b):
        for d, (dy, dx) in enumerate(PAIR_OFFSETS):
            for y in range(h):
                for x in range(w):
                    ny, nx = y + dy * dilation, x + dx * dilation
                    if ny < h and 0 <= nx < w and counts(i, y, x) and counts(i, ny, nx):
                        distance = (lab[i, :, y, x] - lab[i, :, ny, nx]).norm()
                        result[i, d, y, x] = torch.exp(-0.5 * distance) >= threshold
    return result


@pytest.mark.parametrize("stride, dilation", [(4, 2), (2, 1)])
def test_equals_loops(stride, dilation):
    generator = torch.Generator().manual_seed(stride)
    coarse = torch.randint(0, 256, (2, 3, 2, 2), generator=generator).float()
    images = torch.nn.functional.interpolate(coarse, size=(32, 40)) + torch.randn(
        2, 3, 32, 40, generator=generator
    )
    found = find_similar_pairs(images, [32, 23], [40, 31], stride=stride, dilation=dilation)
    expected = similar_by_loops(images, [32, 23], [40, 31], stride, dilation, 0.3)
    assert torch.equal(found, expected) and 0.1 < found.float().mean() < 0.9


def test_one_colour_up_to_the_last_row_that_counts():
    images = torch.full((1, 3, 32, 32), 77.0)
    found = find_similar_pairs(images, [22], [32], stride=4, dilation=2)
    right, _, below, _ = found[0]
    assert right[:5, :6].all() and not right[:, 6:].any()
    assert not right[5:].any(), "row 5 is read at pixel 22"
    assert below[:3].all() and not below[3:].any()


def test_autocast_does_not_blur_colours():
    images = torch.rand(1, 3, 32, 32) * 255
    plain = find_similar_pairs(images, [32], [32])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(find_similar_pairs(images, [32], [32]), plain)
