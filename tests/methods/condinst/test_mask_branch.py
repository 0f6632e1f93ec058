"""Bottom and semantic branch: shapes, fusion, initial probability."""

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.layers import aligned_bilinear
from solo_d2.methods.condinst.mask_head import MaskBranch, SemanticBranch
from solo_d2.utils.settings import build


@pytest.mark.parametrize("num_levels", [1, 3, 4])
def test_fuses_at_the_finest_size(num_levels):
    torch.manual_seed(0)
    sizes = {"in_channels": 16, "num_levels": num_levels, "channels": 8, "num_convs": 2, "out_channels": 5}
    branch = build(MaskBranch, get_cfg(), "MODEL.CONDINST.MASK_BRANCH", **sizes).eval()
    features = [torch.randn(2, 16, 24 >> i, 16 >> i) for i in range(num_levels)]
    fused = sum(
        aligned_bilinear(refiner(x), 2**i)
        for i, (refiner, x) in enumerate(zip(branch.refiners, features, strict=True))
    )
    expected = branch.predictor(branch.tower(fused))
    assert expected.shape == (2, 5, 24, 16)
    torch.testing.assert_close(branch(features), expected)


def test_semantic_branch_starts_at_the_prior():
    torch.manual_seed(0)
    branch = SemanticBranch(in_channels=16, num_classes=7, channels=8, norm="BN", prior_prob=0.02)
    logits = branch(torch.randn(2, 16, 6, 5))
    assert logits.shape == (2, 7, 6, 5)
    assert abs(float(logits.sigmoid().mean()) - 0.02) < 0.005
