"""Pixel-wise mask losses against loops over pixels."""

import math
from functools import partial

import pytest
import torch

from solo_d2.methods.grid.losses import bce_loss, focal_loss, product_logit


def pixels(count=3):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(count, 5, 4, generator=generator)
    return logits, torch.rand(count, 5, 4, generator=generator) < 0.4


def average(logits, targets, loss):
    """Mean over each mask's pixels of loss(probability, is foreground)."""
    return [
        sum(loss(1 / (1 + math.exp(-x)), t) for x, t in zip(row, wanted, strict=True)) / len(row)
        for row, wanted in zip(logits.flatten(1).tolist(), targets.flatten(1).tolist(), strict=True)
    ]


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_bce_weighs_foreground(weight):
    logits, targets = pixels()
    expected = average(logits, targets, lambda p, t: -weight * math.log(p) if t else -math.log(1 - p))
    assert bce_loss(logits, targets, weight).tolist() == pytest.approx(expected, rel=1e-4)


def test_focal():
    logits, targets = pixels()

    def pixel(p, t):
        return -0.25 * (1 - p) ** 2 * math.log(p) if t else -0.75 * p**2 * math.log(1 - p)

    assert focal_loss(logits, targets, 0.25, 2.0).tolist() == pytest.approx(
        average(logits, targets, pixel), rel=1e-4
    )


@pytest.mark.parametrize(
    "loss", [partial(bce_loss, positive_weight=2.0), partial(focal_loss, alpha=0.25, gamma=2.0)]
)
def test_no_masks_and_half_precision(loss):
    logits, targets = pixels()
    assert loss(logits[:0], targets[:0]).shape == (0,)
    assert loss(logits.bfloat16(), targets).dtype == torch.float32


def test_product_logit_is_the_logit_of_the_product():
    x, y = torch.randn(2, 50, dtype=torch.float64)
    expected = (x.sigmoid() * y.sigmoid()).logit()
    torch.testing.assert_close(product_logit(x, y), expected)


def test_product_logit_of_extreme_factors_has_finite_gradients():
    x = torch.tensor([-90.0, 90.0, -90.0, 90.0], requires_grad=True)
    y = torch.tensor([-90.0, 90.0, 90.0, -90.0])
    result = product_logit(x, y)
    result.sum().backward()
    assert result.tolist() == pytest.approx([-180, 90 - math.log(2), -90, -90])
    assert x.grad.isfinite().all()
