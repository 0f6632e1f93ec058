"""Colors against OpenCV's conversion, similar pairs against loops."""

import contextlib
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from solo_d2.methods.freesolo.targets import PAIR_OFFSETS, find_similar_pairs, rgb_to_lab

# sRGB -> CIELAB (D65) as color tables list them.
KNOWN = {
    (0, 0, 0): (0, 0, 0),
    (255, 255, 255): (100, 0, 0),
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
    (119, 119, 119): (50.03, 0, 0),
}

find_pairs = partial(find_similar_pairs, stride=4, dilation=2, threshold=0.3)


def test_lab_of_known_colors():
    pixels = torch.tensor(list(KNOWN), dtype=torch.float32).T.view(1, 3, 1, -1)
    expected = torch.tensor(list(KNOWN.values()), dtype=torch.float32).T
    torch.testing.assert_close(rgb_to_lab(pixels)[0, :, 0], expected, atol=0.05, rtol=0)


def lab_of_one(rgb):
    """CIE 15: the cube root's own constants are fractions, (6 / 29)^3 and 841 / 108."""
    linear = [((v + 0.055) / 1.055) ** 2.4 if v > 0.04045 else v / 12.92 for v in (c / 255 for c in rgb)]
    rows = (0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227)
    xyz = [sum(a * b for a, b in zip(row, linear, strict=True)) / sum(row) for row in rows]
    x, y, z = (t ** (1 / 3) if t > (6 / 29) ** 3 else 841 / 108 * t + 4 / 29 for t in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_lab_equals_loops():
    colors = np.random.default_rng(1).integers(0, 256, (200, 3))
    colors[:40] //= 16  # where the cube root and the gamma curve are lines
    pixels = torch.from_numpy(colors).T.double().view(1, 3, 1, -1)
    expected = torch.tensor([lab_of_one(color) for color in colors.tolist()], dtype=torch.float64)
    torch.testing.assert_close(rgb_to_lab(pixels)[0, :, 0].T, expected, atol=5e-3, rtol=0)
    torch.testing.assert_close(rgb_to_lab(pixels.float()).double(), rgb_to_lab(pixels), atol=1e-3, rtol=0)


def test_lab_is_opencvs():
    """OpenCV reads it from a table and is itself a few tenths off."""
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
    found = find_pairs(images, [32, 23], [40, 31], stride=stride, dilation=dilation)
    expected = similar_by_loops(images, [32, 23], [40, 31], stride, dilation, 0.3)
    assert torch.equal(found, expected) and 0.1 < found.float().mean() < 0.9


def test_one_color_up_to_the_last_row_that_counts():
    images = torch.full((1, 3, 32, 32), 77.0)
    found = find_pairs(images, [22], [32], stride=4, dilation=2)
    right, _, below, _ = found[0]
    assert right[:5, :6].all() and not right[:, 6:].any()
    assert not right[5:].any(), "row 5 is read at pixel 22"
    assert below[:3].all() and not below[3:].any()


def test_autocast_does_not_blur_colors():
    images = torch.rand(1, 3, 32, 32) * 255
    plain = find_pairs(images, [32], [32])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(find_pairs(images, [32], [32]), plain)


class CopiesFromTheHost(TorchFunctionMode):
    """Notes what goes to another device: constants that are made there, and copies."""

    def __init__(self):
        super().__init__()
        self.constants, self.copies = 0, []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if isinstance(result, torch.Tensor) and result.device.type != "cpu":
            if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor):
                self.constants += 1
            elif args and isinstance(args[0], torch.Tensor) and args[0].device.type == "cpu":
                self.copies.append(kwargs.get("non_blocking", False))
        return result


def test_a_step_sends_the_limits_at_once_and_nothing_else(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # "meta" has none
    images = torch.zeros(2, 3, 32, 40, device="meta")
    find_pairs(images, [32, 23], [40, 31])  # the constants, once for a device
    with CopiesFromTheHost() as seen:
        find_pairs(images, [32, 23], [40, 31])
    assert seen.constants == 0 and seen.copies == [True], "one copy, for which nobody waits"
    with CopiesFromTheHost() as seen:
        images.new_tensor([1.0])
        torch.ones(1).to("meta")
    assert seen.constants == 1 and seen.copies == [False], "the mode sees both"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_step_waits_for_a_gpu():
    images = torch.rand(2, 3, 32, 40) * 255
    find_pairs(images.cuda(), [32, 23], [40, 31])
    on_gpu, before = images.cuda(), torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        find_pairs(on_gpu, [32, 23], [40, 31])
    finally:
        torch.cuda.set_sync_debug_mode(before)


def test_constants_made_in_inference_mode_can_be_learnt_through():
    with torch.inference_mode():
        rgb_to_lab(torch.rand(1, 3, 2, 2, dtype=torch.float64))
    images = torch.full((1, 3, 2, 2), 77.0, dtype=torch.float64, requires_grad=True)
    rgb_to_lab(images).sum().backward()
    assert images.grad.isfinite().all()
