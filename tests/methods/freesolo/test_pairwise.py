"""Pairwise loss against a float64 loop over masks, pixels and their eight neighbors."""

import math

import pytest
import torch

from solo_d2.methods.freesolo.losses import bounding_regions, pairwise_loss
from solo_d2.methods.freesolo.targets import PAIR_OFFSETS, pixel_pairs


def random_case(count, size, dilation, num_images=2, seed=0):
    """Logits, symmetric similarity, images and regions."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, *size, generator=generator)
    similar = torch.zeros(num_images, len(PAIR_OFFSETS), *size, dtype=torch.bool)
    for direction, (view, _) in enumerate(pixel_pairs(similar, dilation)):
        view[:, direction] = torch.rand(view[:, direction].shape, generator=generator) < 0.6
    images = torch.randint(0, num_images, (count,), generator=generator).sort().values
    regions = torch.rand(count, *size, generator=generator) < 0.5
    return logits, similar, images, regions


def are_similar(similar, image, a, b, dilation):
    for direction, (dy, dx) in enumerate(PAIR_OFFSETS):
        for first, second in ((a, b), (b, a)):
            if (first[0] + dy * dilation, first[1] + dx * dilation) == second:
                return bool(similar[image, direction, first[0], first[1]])
    raise AssertionError("no neighbors")


def pairwise_by_loops(logits, similar, images, regions, dilation):
    total, count = 0.0 * logits.sum(), 0
    h, w = logits.shape[1:]
    steps = (-dilation, 0, dilation)
    for mask, image, region in zip(logits, images.tolist(), regions, strict=True):
        for y, x in region.nonzero().tolist():
            for ny, nx in ((y + dy, x + dx) for dy in steps for dx in steps if (dy, dx) != (0, 0)):
                if not (0 <= ny < h and 0 <= nx < w):
                    continue
                if are_similar(similar, image, (y, x), (ny, nx), dilation):
                    p, q = mask[y, x].sigmoid(), mask[ny, nx].sigmoid()
                    total = total - torch.log(p * q + (1 - p) * (1 - q))
                    count += 1
    return total / max(count, 1)


@pytest.mark.parametrize(
    "count, size, dilation", [(1, (6, 7), 2), (3, (5, 8), 1), (4, (7, 3), 2), (2, (2, 9), 2)]
)
def test_equals_loops(count, size, dilation):
    logits, *rest = random_case(count, size, dilation, seed=count)
    ours, reference = logits.clone().requires_grad_(), logits.double().requires_grad_()
    value = pairwise_loss(ours, *rest, dilation)
    expected = pairwise_by_loops(reference, *rest, dilation)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=1e-6)
    value.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad.double(), reference.grad, atol=1e-6, rtol=1e-6)


def test_certain_pixels_cost_what_they_should():
    """In log space nothing overflows or vanishes: P is 2 exp(-200) for two that disagree by 400."""
    similar = torch.ones(1, 4, 1, 2, dtype=torch.bool)
    regions = torch.ones(3, 1, 2, dtype=torch.bool)
    logits = torch.tensor([[[200.0, 200.0]], [[-200.0, -200.0]], [[200.0, -200.0]]], requires_grad=True)
    losses = [
        pairwise_loss(logits[i : i + 1], similar, torch.tensor([0]), regions[:1], dilation=1)
        for i in range(3)
    ]
    assert [loss.item() for loss in losses] == pytest.approx([0, 0, 200 - math.log(2)])
    sum(losses).backward()
    assert logits.grad.isfinite().all() and logits.grad[2].tolist() == [[0.5, -0.5]]


@pytest.mark.parametrize("what", ["no mask", "no pair", "no region"])
def test_nothing_to_compare_is_zero_with_a_gradient(what):
    kernels = torch.randn(3, 2, requires_grad=True)
    logits = (kernels @ torch.randn(2, 20)).view(3, 4, 5)
    similar = torch.full((1, 4, 4, 5), what != "no pair")
    regions = torch.full((3, 4, 5), what != "no region")
    images = torch.zeros(3, dtype=torch.int64)
    keep = 0 if what == "no mask" else 3
    loss = pairwise_loss(logits[:keep], similar, images[:keep], regions[:keep], 2)
    loss.backward()
    assert loss.item() == 0 and torch.equal(kernels.grad, torch.zeros(3, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_float32(dtype):
    logits, *rest = random_case(2, (5, 6), 2)
    assert pairwise_loss(logits.to(dtype), *rest, 2).dtype == torch.float32


def test_regions_are_filled_boxes():
    masks = torch.zeros(4, 6, 7, dtype=torch.bool)
    masks[0, 1, 2] = masks[0, 3, 5] = True
    masks[1, 5, 6] = True
    masks[2] = True
    regions = bounding_regions(masks)
    assert regions[0].sum() == 3 * 4 and regions[0, 1:4, 2:6].all()
    assert torch.equal(regions[1:3], masks[1:3]) and not regions[3].any()
    assert bounding_regions(masks[:0]).shape == (0, 6, 7)
