"""Common parts of grid heads: the category branch, towers by name, options and their mistakes."""

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.methods.grid.head import GridHead
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

GRIDS = [6, 5, 4, 3, 2]


class Sizes(GridHead):
    """Tells the size of every re-scaled level."""

    def mask_branch(self, feature, cells, level):
        return level, tuple(feature.shape[-2:])


def make_head(**settings):
    settings = {"in_channels": 32, "num_grids": GRIDS, "num_classes": 3, "instance_channels": 32} | settings
    settings = {"towers": {"extra_tower": {"in_channels": 7}}, "num_instance_convs": 2} | settings
    return build(Sizes, get_cfg(), "MODEL.SOLO", **settings)


def features(height=64, width=96, channels=32):
    return [torch.randn(2, channels, height >> i, width >> i) for i in range(5)]


def test_levels_are_rescaled_and_categories_are_on_their_grids():
    categories, levels = make_head()(features())
    assert levels == [(0, (32, 48)), (1, (32, 48)), (2, (16, 24)), (3, (8, 12)), (4, (8, 12))]
    assert [tuple(x.shape) for x in categories] == [(2, 3, s, s) for s in GRIDS]


def test_towers_are_built_by_name():
    head = make_head(num_dcn_convs=1)
    assert [len(head.extra_tower), len(head.category_tower)] == [2, 2]
    assert head.extra_tower[0].weight.shape[1] == 7
    assert type(head.category_tower[1]).__name__ == "DeformConvBlock"


def test_further_predictors_read_the_category_tower():
    head = make_head(cell_predictors={"extra": 6})
    assert head.extra.weight.shape == (6, 32, 3, 3) and not head.extra.bias.any()


def test_initial_probability_is_the_prior():
    torch.manual_seed(0)
    categories, _ = make_head(prior_prob=0.05)(features())
    assert all(abs(x.sigmoid().mean() - 0.05) < 2e-3 for x in categories)


@pytest.mark.parametrize("alignment", ["adaptive_max_pool", "region_grid"])
def test_alignment_changes_the_categories(alignment):
    torch.manual_seed(0)
    head, levels = make_head(), features()
    plain = head(levels)[0]
    head.category_align = alignment
    for one, other in zip(plain, head(levels)[0], strict=True):
        assert one.shape == other.shape and not torch.allclose(one, other)


def test_unknown_alignment_is_named():
    with pytest.raises(InputError, match="category_align must be one of interpolate.*not 'roi'"):
        make_head(category_align="roi")


def test_the_number_of_levels_has_to_fit():
    with pytest.raises(InputError, match="4 levels.*5"):
        make_head()(features()[:4])
