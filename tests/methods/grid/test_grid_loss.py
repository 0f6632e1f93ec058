"""Category and mask loss against loops, and their divisors."""

from functools import partial

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.losses import dice_loss
from solo_d2.methods.grid.layout import GridTargets
from solo_d2.methods.grid.losses import GridLoss, MaskPrediction, bce_loss, focal_loss
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build as build_part

make_loss = partial(build_part, GridLoss, get_cfg(), "MODEL.SOLOV2.LOSS")

NUM_CLASSES = 3


def make_targets(labels, positive_instance, positive_cell, num_instances, seed=0):
    labels = torch.tensor(labels)
    masks = torch.rand(num_instances, 6, 7, generator=torch.Generator().manual_seed(seed)) < 0.5
    return GridTargets(
        labels=labels,
        owner=torch.where(labels < NUM_CLASSES, 0, -1),
        positive_instance=torch.tensor(positive_instance, dtype=torch.int64),
        positive_cell=torch.tensor(positive_cell, dtype=torch.int64),
        masks={4: masks},
    )


TWO_ON_ONE_CELL = make_targets([[3, 1, 3, 0], [3, 3, 3, 3]], [0, 1, 1], [1, 1, 3], 2)
EMPTY = make_targets([[3, 3, 3, 3]], [], [], 0)


def predict(logits, targets):
    """All positives as one group."""
    return [MaskPrediction([logits], targets.masks[4][targets.positive_instance])]


def focal_by_loops(logits, labels, alpha=0.25, gamma=2.0):
    total = 0.0
    for cell_logits, label in zip(logits.double().flatten(0, 1), labels.flatten(), strict=True):
        for c, x in enumerate(cell_logits):
            p = torch.sigmoid(x)
            if c == label:
                total -= alpha * (1 - p) ** gamma * torch.log(p)
            else:
                total -= (1 - alpha) * p**gamma * torch.log(1 - p)
    return float(total)


@pytest.mark.parametrize("targets, cells", [(TWO_ON_ONE_CELL, 2), (EMPTY, 0)])
def test_category_is_the_focal_sum_over_positive_cells_plus_one(targets, cells):
    logits = torch.randn(*targets.labels.shape, NUM_CLASSES, generator=torch.Generator().manual_seed(2))
    loss = make_loss(focal_weight=2.0).category(logits, targets)
    expected = 2 * focal_by_loops(logits, targets.labels) / (cells + 1)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("divisor, count", [("masks", 3), ("cells", 2)])
def test_mask_loss_divisor(divisor, count):
    logits = torch.randn(3, 6, 7, generator=torch.Generator().manual_seed(3))
    loss = make_loss(mask_divisor=divisor).masks(predict(logits, TWO_ON_ONE_CELL), TWO_ON_ONE_CELL)
    dice = dice_loss(logits.sigmoid(), TWO_ON_ONE_CELL.masks[4][[0, 1, 1]])
    assert float(loss) == pytest.approx(float(3 * dice.sum() / count), rel=1e-6)


@pytest.mark.parametrize("divisor", ["masks", "cells"])
def test_withheld_masks_do_not_count(divisor):
    """Cells that have a class only are no divisor."""
    labels_only = make_targets([[3, 1, 3, 0], [2, 3, 3, 3]], [0, 1, 1], [1, 1, 3], 2)
    expected = make_loss(mask_divisor=divisor).mask_count(TWO_ON_ONE_CELL)
    assert make_loss(mask_divisor=divisor).mask_count(labels_only) == expected


@pytest.mark.parametrize("mask_loss, weight", [("dice", 3), ("bce", 10), ("focal", 20)])
def test_mask_losses_of_groups_and_of_products(mask_loss, weight):
    """Groups of two resolutions, one of them a product of two factors."""
    generator = torch.Generator().manual_seed(4)
    x, y = torch.randn(2, 2, 6, 7, generator=generator)
    single = torch.randn(1, 3, 4, generator=generator)
    masks = [torch.rand(2, 6, 7, generator=generator) < 0.5, torch.rand(1, 3, 4, generator=generator) < 0.5]
    groups = [MaskPrediction([x, y], masks[0]), MaskPrediction([single], masks[1])]
    loss = make_loss(mask_loss=mask_loss).masks(groups, TWO_ON_ONE_CELL)
    product = x.sigmoid() * y.sigmoid()
    if mask_loss == "dice":
        parts = [dice_loss(product, masks[0]), dice_loss(single.sigmoid(), masks[1])]
    else:
        bce, focal = partial(bce_loss, positive_weight=2.0), partial(focal_loss, alpha=0.25, gamma=2.0)
        each = bce if mask_loss == "bce" else focal
        parts = [each(product.logit(), masks[0]), each(single, masks[1])]
    assert float(loss) == pytest.approx(weight * float(torch.cat(parts).sum()) / 3, rel=1e-5)


@pytest.mark.parametrize("mask_loss", ["dice", "bce", "focal"])
@pytest.mark.parametrize("divisor", ["masks", "cells"])
def test_mask_loss_without_positives_is_zero_with_a_gradient(divisor, mask_loss):
    kernels = torch.randn(4, 5, requires_grad=True)
    logits = (kernels[EMPTY.positive_cell] @ torch.randn(5, 42)).view(0, 6, 7)
    loss = make_loss(mask_divisor=divisor, mask_loss=mask_loss).masks(predict(logits, EMPTY), EMPTY)
    loss.backward()
    assert loss.item() == 0 and torch.equal(kernels.grad, torch.zeros(4, 5))


def test_half_precision_logits_give_float32_losses():
    logits = torch.randn(3, 6, 7).to(torch.bfloat16)
    assert make_loss().masks(predict(logits, TWO_ON_ONE_CELL), TWO_ON_ONE_CELL).dtype == torch.float32
    category = torch.randn(2, 4, NUM_CLASSES).half()
    assert make_loss().category(category, TWO_ON_ONE_CELL).dtype == torch.float32


def test_unknown_divisor_is_named():
    with pytest.raises(InputError, match="'masks' or 'cells', not 'pixels'"):
        make_loss(mask_divisor="pixels")


def test_unknown_mask_loss_is_named():
    with pytest.raises(InputError, match="dice, bce, focal, not 'iou'"):
        make_loss(mask_loss="iou")


def test_counts_are_averaged_over_ranks(monkeypatch):
    """As with a second rank that has no positive cell; tests/losses runs two real ones."""
    monkeypatch.setattr("solo_d2.methods.grid.losses.average_over_ranks", lambda count: count / 2)
    logits = torch.zeros(*TWO_ON_ONE_CELL.labels.shape, NUM_CLASSES)
    shared = make_loss(sync_counts=True).category(logits, TWO_ON_ONE_CELL)
    alone = make_loss(sync_counts=False).category(logits, TWO_ON_ONE_CELL)
    assert float(alone / shared) == pytest.approx((1 + 1) / (2 + 1))
