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


def test_gradient():
    generator = torch.Generator().manual_seed(1)
    q = torch.rand(2, 3, 4, generator=generator) < 0.5
    p = torch.rand(2, 3, 4, generator=generator).requires_grad_()
    dice_loss(p, q).sum().backward()
    gradient, p.grad = p.grad.clone(), None
    with torch.no_grad():
        for index in [(0, 0, 0), (1, 2, 3), (0, 1, 2)]:
            step = torch.zeros_like(p)
            step[index] = 1e-2
            difference = (dice_loss(p + step, q) - dice_loss(p - step, q)).sum() / 2e-2
            assert float(gradient[index]) == pytest.approx(float(difference), abs=1e-3)


def test_golden_dice(golden):
    data = golden("utils").load("utils")
    loss = dice_loss(data["dice_pred"].sigmoid(), data["dice_target"])
    torch.testing.assert_close(loss, data["dice_sigmoid_none_w1"], atol=1e-6, rtol=0)
