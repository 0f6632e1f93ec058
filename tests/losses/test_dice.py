"""Dice loss against its formula in float64."""

import pytest
import torch

from solo_d2.losses import dice_loss


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_equals_formula(count, dtype):
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(count, 8, 9, generator=generator).to(dtype)
    q = torch.rand(count, 8, 9, generator=generator) < 0.4
    loss = dice_loss(p, q)
    assert loss.dtype == torch.float32 and loss.shape == (count,)
    for i in range(count):
        a, b = p[i].double(), q[i].double()
        expected = 1 - 2 * (a * b).sum() / ((a**2).sum() + 1e-3 + (b**2).sum() + 1e-3)
        assert float(loss[i]) == pytest.approx(float(expected), abs=1e-6)


def test_empty_prediction_of_an_empty_mask_is_finite():
    zeros = torch.zeros(1, 4, 4, requires_grad=True)
    loss = dice_loss(zeros, torch.zeros(1, 4, 4, dtype=torch.bool))
    loss.sum().backward()
    assert loss.item() == 1 and zeros.grad.isfinite().all()


def dice_by_loops(p, q, eps):
    overlap = sum(a * b for a, b in zip(p, q, strict=True))
    return 1 - 2 * overlap / (sum(a * a for a in p) + eps + sum(b * b for b in q) + eps)


@pytest.mark.parametrize("soft_target, eps", [(False, 1e-3), (True, 5e-6)])
def test_equals_loops_with_its_gradient(soft_target, eps):
    generator = torch.Generator().manual_seed(1)
    q = torch.rand(3, 4, 5, generator=generator)
    q = q if soft_target else q < 0.5
    p = torch.rand(3, 4, 5, generator=generator)
    ours, reference = p.clone().requires_grad_(), p.double().requires_grad_()
    loss = dice_loss(ours, q, eps)
    pairs = zip(reference.flatten(1), q.double().flatten(1), strict=True)
    expected = torch.stack([dice_by_loops(one, other, eps) for one, other in pairs])
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=1e-6)
    loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad.double(), reference.grad, rtol=1e-6, atol=1e-6)


def test_golden_dice(golden):
    data = golden("utils").load("utils")
    loss = dice_loss(data["dice_pred"].sigmoid(), data["dice_target"])
    torch.testing.assert_close(loss, data["dice_sigmoid_none_w1"], atol=1e-6, rtol=0)
