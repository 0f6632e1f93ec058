"""Focal loss against its formula in a float64 loop and against fvcore's, value and gradient."""

import pytest
import torch

from solo_d2.losses import category_focal_loss, sigmoid_focal_loss


def focal_by_loops(logits, labels, alpha, gamma):
    total = torch.zeros((), dtype=torch.float64)
    for row, label in zip(logits.flatten(0, 1), labels.flatten(), strict=True):
        for c, logit in enumerate(row):
            p = 1 / (1 + torch.exp(-logit))
            p_true, weight = (p, alpha) if c == label else (1 - p, 1 - alpha)
            total = total - weight * (1 - p_true) ** gamma * torch.log(p_true)
    return total


@pytest.mark.parametrize("alpha, gamma", [(0.25, 2.0), (0.3, 1.5)])
def test_equals_loops(alpha, gamma):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, generator=generator) * 3
    labels = torch.tensor([[0, 1, 2, 3, 3], [3, 0, 0, 3, 1]])
    ours, reference = logits.clone().requires_grad_(), logits.double().requires_grad_()
    loss = category_focal_loss(ours, labels, alpha=alpha, gamma=gamma)
    expected = focal_by_loops(reference, labels, alpha, gamma)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=1e-6)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad.double(), reference.grad, rtol=1e-6, atol=1e-6)


def test_half_precision_gives_float32_and_no_label_gives_zero():
    logits = torch.zeros(0, 3, dtype=torch.bfloat16, requires_grad=True)
    loss = category_focal_loss(logits, torch.zeros(0, dtype=torch.int64), 0.25, 2.0)
    assert loss == 0 and loss.dtype == torch.float32 and loss.requires_grad


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
@pytest.mark.parametrize("alpha", [-1.0, 0.25, 1.0])
def test_equals_fvcore(alpha, gamma):
    fvcore = pytest.importorskip("fvcore.nn")
    generator = torch.Generator().manual_seed(0)
    # Confident ones, also where the sigmoid is 0 or 1 in float32.
    logits = torch.cat(
        [torch.randn(200, generator=generator) * 5, torch.tensor([-120.0, 120.0, -120.0, 120.0])]
    )
    targets = torch.cat([torch.rand(200, generator=generator) < 0.3, torch.tensor([0, 0, 1, 1])]).float()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = sigmoid_focal_loss(ours, targets, alpha, gamma)
    expected = fvcore.sigmoid_focal_loss(theirs, targets, alpha, gamma)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-7)
    loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)
