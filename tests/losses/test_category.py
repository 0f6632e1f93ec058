"""Focal loss of labels against its formula."""

import torch

from solo_d2.losses import category_focal_loss


def test_is_the_formula_summed():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, generator=generator) * 3
    labels = torch.tensor([[0, 1, 2, 3, 3], [3, 0, 0, 3, 1]])
    expected = 0.0
    for row, label in zip(logits.flatten(0, 1), labels.flatten(), strict=True):
        for c, logit in enumerate(row):
            p = float(logit.double().sigmoid())
            p_true, alpha = (p, 0.3) if c == label else (1 - p, 0.7)
            expected -= alpha * (1 - p_true) ** 1.5 * torch.tensor(p_true, dtype=torch.float64).log()
    loss = category_focal_loss(logits, labels, alpha=0.3, gamma=1.5)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)


def test_half_precision_gives_float32_and_no_label_gives_zero():
    logits = torch.zeros(0, 3, dtype=torch.bfloat16, requires_grad=True)
    loss = category_focal_loss(logits, torch.zeros(0, dtype=torch.int64))
    assert loss == 0 and loss.dtype == torch.float32 and loss.requires_grad
