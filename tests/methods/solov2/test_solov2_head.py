"""SOLOv2's head: shapes, initial probability, what each branch sees."""

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.methods.solov2.head import SOLOv2Head
from solo_d2.utils.settings import build

GRIDS = [6, 5, 4, 3, 2]


def make_head(**kwargs):
    settings = {"in_channels": 32, "num_grids": GRIDS, "num_classes": 3, "instance_channels": 32}
    settings |= {"num_instance_convs": 2, "num_masks": 16} | kwargs
    return build(SOLOv2Head, get_cfg(), "MODEL.SOLOV2", **settings)


def features(height=64, width=96):
    return [torch.randn(2, 32, height >> i, width >> i) for i in range(5)]


def test_shapes_on_odd_sizes():
    categories, kernels = make_head()(features(70, 99))
    assert [tuple(x.shape) for x in categories] == [(2, 3, s, s) for s in GRIDS]
    assert [tuple(x.shape) for x in kernels] == [(2, 16, s, s) for s in GRIDS]


def test_initial_probability_is_the_prior():
    categories, _ = make_head(prior_prob=0.01)(features())
    assert all(abs(x.sigmoid().mean() - 0.01) < 1e-3 for x in categories)


def test_only_the_kernel_branch_sees_coordinates():
    head = make_head()
    constant = [torch.ones(1, 32, 64 >> i, 64 >> i) for i in range(5)]
    head.eval()
    with torch.no_grad():
        # Convolutions' zero padding also tells position; the center of a large grid is free of it.
        head.num_grids = [16] * 5
        categories, kernels = head(constant)
    assert categories[0][..., 6:10, 6:10].std(dim=(2, 3)).max() < 1e-6
    assert kernels[0][..., 6:10, 6:10].std(dim=(2, 3)).max() > 1e-6


def test_kernel_branch_without_coordinates():
    head = make_head(kernel_coordinates=False)
    assert head.kernel_tower[0].weight.shape[1] == 32
    assert [tuple(x.shape) for x in head(features())[1]] == [(2, 16, s, s) for s in GRIDS]


def test_relative_coordinates_add_three_numbers_to_each_kernel():
    head = make_head(relative_coordinates=True, kernel_size=3)
    kernels = head(features())[1]
    assert [tuple(x.shape) for x in kernels] == [(2, 16 * 9 + 3, s, s) for s in GRIDS]
    # Before training, every mask falls off alike in all directions from its cell.
    assert head.kernel_predictor.bias[-3:].tolist() == pytest.approx([0.1, 0, 0])
