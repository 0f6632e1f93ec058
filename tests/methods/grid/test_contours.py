import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from solo_d2.methods.grid.targets import trace_contours


def contours_by_opencv(mask: np.ndarray) -> np.ndarray:
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(drawn, lines, -1, 1, thickness=1)
    return drawn.astype(bool)


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (40, 33), (64, 96)])
@pytest.mark.parametrize("blur", [1, 3, 9])
def test_equals_opencv_on_blobs_with_holes(size, blur):
    noise = torch.rand(6, 1, *size, generator=torch.Generator().manual_seed(blur))
    masks = F.avg_pool2d(noise, blur, stride=1, padding=blur // 2)[:, 0] > 0.5
    expected = np.stack([contours_by_opencv(mask.numpy()) for mask in masks])
    assert np.array_equal(trace_contours(masks).numpy(), expected)


def test_ring_has_two_contours_and_a_full_image_its_border():
    ring = torch.zeros(1, 12, 12, dtype=torch.bool)
    ring[0, 1:11, 1:11] = True
    ring[0, 5:7, 5:7] = False
    found = trace_contours(ring)[0]
    assert found.sum() == 36 + 8  # of the square, and the hole's neighbors on its four sides
    full = trace_contours(torch.ones(1, 5, 6, dtype=torch.bool))[0]
    assert not full[1:-1, 1:-1].any() and full.sum() == 18


def test_no_masks_and_non_contiguous_ones():
    assert trace_contours(torch.zeros(0, 4, 4, dtype=torch.bool)).shape == (0, 4, 4)
    masks = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0)) > 0.4
    turned = masks.transpose(1, 2)
    assert torch.equal(trace_contours(turned), trace_contours(masks).transpose(1, 2))
