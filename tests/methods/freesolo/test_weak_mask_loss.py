"""The losses that are on, with which weights and divisors."""

from functools import partial

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.methods.freesolo.losses import (
    WeakMaskLoss,
    average_projection_loss,
    bounding_regions,
    max_projection_loss,
    pairwise_loss,
)
from solo_d2.methods.grid.losses import MaskPrediction
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build as build_part

make_loss = partial(build_part, WeakMaskLoss, get_cfg(), "MODEL.FREESOLO")

NAMES = ("max_projection", "average_projection", "pairwise")


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 6, 7, generator=generator)
    targets = torch.rand(3, 6, 7, generator=generator) < 0.3
    similar = torch.rand(2, 4, 6, 7, generator=generator) < 0.5
    return MaskPrediction([logits], targets), torch.tensor([0, 1, 1]), similar


def test_weights_divisor_and_warm_up(case):
    prediction, images, similar = case
    loss = WeakMaskLoss(2.0, 0.5, 3.0, 2)
    losses = loss(prediction, torch.tensor(4.0), images, similar, 0.25)
    soft, wanted = prediction.logits[0].sigmoid(), prediction.targets
    pairwise = pairwise_loss(prediction.logits[0], similar, images, bounding_regions(wanted), 2)
    assert losses == {
        "loss_mask_max_projection": pytest.approx(2 * float(max_projection_loss(soft, wanted).sum()) / 4),
        "loss_mask_average_projection": pytest.approx(
            0.5 * float(average_projection_loss(soft, wanted).sum()) / 4
        ),
        "loss_mask_pairwise": pytest.approx(3 * 0.25 * float(pairwise)),
    }


@pytest.mark.parametrize("off", NAMES)
def test_a_loss_of_weight_0_is_left_out(case, off):
    prediction, images, similar = case
    loss = make_loss(**{f"{off}_weight": 0.0})
    similar = None if off == "pairwise" else similar
    losses = loss(prediction, torch.tensor(3.0), images, similar, 1.0)
    assert set(losses) == {f"loss_mask_{name}" for name in NAMES if name != off}
    assert loss.enabled and not WeakMaskLoss(0.0, 0.0, 0.0, 2).enabled


@pytest.mark.parametrize("dilation", [0, -2])
def test_pairs_of_one_pixel_are_refused(dilation):
    with pytest.raises(InputError, match="^pairwise_dilation must be at least 1"):
        make_loss(pairwise_dilation=dilation)


def test_without_positives_zero_with_a_gradient(case):
    _, images, similar = case
    logits = torch.randn(3, 6, 7, requires_grad=True)
    nothing = MaskPrediction([logits[:0]], torch.zeros(0, 6, 7, dtype=torch.bool))
    losses = make_loss()(nothing, torch.tensor(0.0), images[:0], similar, 1.0)
    for loss in losses.values():
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert loss.item() == 0 and not gradient.any()
