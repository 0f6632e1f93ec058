"""Embedding loss against float64 loops."""

import math

import pytest
import torch

from solo_d2.methods.freesolo.losses import embedding_loss


def loss_by_loops(predictions, targets):
    total, count = 0.0 * predictions.sum(), 0
    for q, wanted in zip(predictions, targets.tolist(), strict=True):
        if not any(wanted):
            continue
        product = sum(a * b for a, b in zip(q, wanted, strict=True))
        length = sum(a * a for a in q).sqrt() * math.sqrt(sum(b * b for b in wanted))
        total = total + 1 - product / length
        count += 1
    return total / max(count, 1)


@pytest.mark.parametrize("missing", [[], [0], [1, 3]])
def test_equals_loops(missing):
    generator = torch.Generator().manual_seed(len(missing))
    predictions, targets = torch.randn(2, 4, 9, generator=generator)
    targets[missing] = 0
    ours, reference = predictions.clone().requires_grad_(), predictions.double().requires_grad_()
    value, expected = embedding_loss(ours, targets), loss_by_loops(reference, targets.double())
    torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=1e-6)
    value.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad.double(), reference.grad, atol=1e-6, rtol=1e-6)


def test_length_does_not_matter_and_direction_does():
    vector = torch.tensor([[1.0, -2.0, 3.0]])
    assert embedding_loss(7 * vector, vector).item() == pytest.approx(0, abs=1e-6)
    assert embedding_loss(-vector, vector).item() == pytest.approx(2)


@pytest.mark.parametrize("count", [0, 3])
def test_without_targets_zero_with_a_gradient(count):
    predictions = torch.randn(3, 5, requires_grad=True)
    loss = embedding_loss(predictions[:count], torch.zeros(count, 5))
    loss.backward()
    assert loss.item() == 0 and torch.equal(predictions.grad, torch.zeros(3, 5))


def test_half_precision_gives_float32():
    assert embedding_loss(torch.randn(2, 4).bfloat16(), torch.randn(2, 4)).dtype == torch.float32
