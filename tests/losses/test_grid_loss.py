"""Category and mask loss against loops, and their divisors."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from solo_d2.losses import GridLoss, dice_loss
from solo_d2.structures import GridTargets, InputError

NUM_CLASSES = 3


def make_targets(labels, positive_instance, positive_cell, num_instances, seed=0):
    labels = torch.tensor(labels)
    masks = torch.rand(num_instances, 6, 7, generator=torch.Generator().manual_seed(seed)) < 0.5
    return GridTargets(
        labels=labels,
        owner=torch.where(labels < NUM_CLASSES, 0, -1),
        positive_instance=torch.tensor(positive_instance, dtype=torch.int64),
        positive_cell=torch.tensor(positive_cell, dtype=torch.int64),
        masks=masks,
    )


TWO_ON_ONE_CELL = make_targets([[3, 1, 3, 0], [3, 3, 3, 3]], [0, 1, 1], [1, 1, 3], 2)
EMPTY = make_targets([[3, 3, 3, 3]], [], [], 0)


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
    loss = GridLoss(category_weight=2.0).category(logits, targets)
    expected = 2 * focal_by_loops(logits, targets.labels) / (cells + 1)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("divisor, count", [("masks", 3), ("cells", 2)])
def test_mask_loss_divisor(divisor, count):
    logits = torch.randn(3, 6, 7, generator=torch.Generator().manual_seed(3))
    loss = GridLoss(mask_divisor=divisor).masks(logits, TWO_ON_ONE_CELL)
    dice = dice_loss(logits.sigmoid(), TWO_ON_ONE_CELL.masks[[0, 1, 1]])
    assert float(loss) == pytest.approx(float(3 * dice.sum() / count), rel=1e-6)


@pytest.mark.parametrize("divisor", ["masks", "cells"])
def test_mask_loss_without_positives_is_zero_with_a_gradient(divisor):
    kernels = torch.randn(4, 5, requires_grad=True)
    logits = (kernels[EMPTY.positive_cell] @ torch.randn(5, 42)).view(0, 6, 7)
    loss = GridLoss(mask_divisor=divisor).masks(logits, EMPTY)
    loss.backward()
    assert loss.item() == 0 and torch.equal(kernels.grad, torch.zeros(4, 5))


def test_half_precision_logits_give_float32_losses():
    logits = torch.randn(3, 6, 7).to(torch.bfloat16)
    assert GridLoss().masks(logits, TWO_ON_ONE_CELL).dtype == torch.float32
    category = torch.randn(2, 4, NUM_CLASSES).half()
    assert GridLoss().category(category, TWO_ON_ONE_CELL).dtype == torch.float32


def test_unknown_divisor_is_named():
    with pytest.raises(InputError, match="'masks' or 'cells', not 'pixels'"):
        GridLoss(mask_divisor="pixels")


def _two_ranks(rank, init_file, results):
    dist.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=2)
    targets = TWO_ON_ONE_CELL if rank == 0 else EMPTY
    logits = torch.zeros(*targets.labels.shape, NUM_CLASSES)
    shared = GridLoss(sync_counts=True).category(logits, targets)
    alone = GridLoss().category(logits, targets)
    results[rank] = float(alone / shared)
    dist.destroy_process_group()


def test_counts_are_averaged_over_ranks(tmp_path):
    results = mp.get_context("spawn").Manager().dict()
    mp.spawn(_two_ranks, args=(tmp_path / "init", results), nprocs=2)
    # Rank 0 has two positive cells, rank 1 none: the average is one.
    assert results[0] == pytest.approx((1 + 1) / (2 + 1))
    assert results[1] == pytest.approx((1 + 1) / (0 + 1))
