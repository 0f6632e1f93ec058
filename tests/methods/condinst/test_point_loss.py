"""The detector's losses against loops over locations."""

import pytest
import torch
import torch.nn.functional as F

from solo_d2.methods.condinst.losses import PointLoss, distance_giou_loss, true_centerness
from solo_d2.methods.condinst.points import PointTargets

STRIDES = torch.tensor([8.0] * 6 + [16.0] * 4)


def make_targets(num_positive: int, seed: int = 0) -> PointTargets:
    generator = torch.Generator().manual_seed(seed)
    owner = torch.full((20,), -1)
    owner[torch.randperm(20, generator=generator)[:num_positive]] = 0
    owner = owner.view(2, 10)
    distances = 1 + 40 * torch.rand(2, 10, 4, generator=generator)
    labels = torch.where(owner >= 0, torch.randint(3, (2, 10), generator=generator), 3)
    distances = torch.where(owner[..., None] >= 0, distances, 1.0)
    return PointTargets(labels, owner, distances, max_positives=10, max_instances=1)


def naive_centerness(distances) -> float:
    left, top, right, bottom = map(float, distances)
    ratio = min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom)
    return ratio**0.5


@pytest.mark.parametrize("num_positive", [0, 1, 7, 20])
def test_matches_loops(num_positive):
    targets = make_targets(num_positive)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 10, generator=generator, requires_grad=True)
    boxes = (3 * torch.rand(2, 10, 4, generator=generator)).requires_grad_()
    box, weights, entropy = 0.0, 0.0, 0.0
    for i in range(2):
        for k in range(10):
            if targets.owner[i, k] < 0:
                assert true_centerness(targets)[i, k] == 0
                continue
            weight = naive_centerness(targets.distances[i, k])
            weights += weight
            box += weight * float(distance_giou_loss(boxes[i, k] * STRIDES[k], targets.distances[i, k]))
            entropy += float(F.binary_cross_entropy_with_logits(logits[i, k], torch.tensor(weight)))
    loss = PointLoss(loss_alpha=0.25, loss_gamma=2.0)
    ours = loss.boxes(boxes, targets, STRIDES), loss.centerness(logits, targets)
    expected = box / max(weights, 1e-6), entropy / max(num_positive, 1)
    torch.testing.assert_close(torch.stack(ours).detach(), torch.tensor(expected), rtol=1e-5, atol=1e-6)
    sum(ours).backward()
    assert boxes.grad.isfinite().all() and logits.grad.isfinite().all()


@pytest.mark.parametrize("num_positive", [0, 5])
def test_category_is_per_positive(num_positive):
    targets = make_targets(num_positive)
    logits = torch.zeros(2, 10, 3)
    per_cell = PointLoss(loss_alpha=0.5, loss_gamma=2.0).category(logits, targets) * max(num_positive, 1) / 60
    torch.testing.assert_close(per_cell, 0.5 * 0.25 * torch.tensor(2.0).log())
