import numpy as np
import pytest

from solo_d2.config import get_cfg
from solo_d2.data.analysis.recommendation import Recommendation, recommend, recommend_steps
from solo_d2.data.analysis.statistics import InstanceTable, level_statistics

GRIDS = (40, 36, 24, 16, 12)
LARGEST = 2048


def _table(scales, side, per_image=20, seed=0):
    scales = np.asarray(scales, float)
    images = np.arange(len(scales)) // per_image
    centers = np.random.default_rng(seed).uniform(0, side, (len(scales), 2))
    sizes = np.full((images.max() + 1, 2), float(side))
    return InstanceTable(images, scales, centers, sizes, 0)


def test_coco_like_data_gets_the_default_levels():
    scales = np.random.default_rng(0).uniform(20, 600, 400)
    advice = recommend(_table(scales, 800, per_image=1), GRIDS, LARGEST, min_size=800, max_size=1333)
    default = get_cfg().MODEL.SOLOV2
    assert [[*bounds] for bounds in advice.ranges] == default.FPN_SCALE_RANGES
    assert [*advice.grids] == default.NUM_GRIDS
    assert advice.min_sizes_train[-1] == advice.min_size_test == 800 and advice.min_sizes_train[0] == 640


def test_small_objects_get_larger_inputs_and_smaller_ranges():
    small = recommend(_table(np.full(100, 8.0), 256), GRIDS, LARGEST)
    large = recommend(_table(np.full(100, 100.0), 256), GRIDS, LARGEST)
    assert small.min_size_test == 512 and large.min_size_test == 128
    assert small.ranges[1][0] < get_cfg().MODEL.SOLOV2.FPN_SCALE_RANGES[1][0]


def test_crowded_images_get_finer_grids_within_reason():
    table = _table(np.full(4000, 12.0), 512, per_image=400)
    advice = recommend(table, GRIDS, LARGEST, min_size=512)
    assert advice.grids[0] > GRIDS[0] and 512 / max(advice.grids) >= 4
    before = level_statistics(table, 512, 853, GRIDS[:1], advice.ranges[:1])[0]
    after = level_statistics(table, 512, 853, advice.grids[:1], advice.ranges[:1])[0]
    assert after.collisions < before.collisions


@pytest.mark.parametrize("levels", range(1, 6))
def test_every_scale_has_a_level(levels):
    scales = np.random.default_rng(1).uniform(2, 400, 200)
    advice = recommend(_table(scales, 512), GRIDS[:levels], LARGEST)
    assert len(advice.grids) == len(advice.ranges) == levels
    counts = level_statistics(
        _table(scales, 512), advice.min_size_test, advice.max_size, advice.grids, advice.ranges
    )
    assert sum(level.instances for level in counts) >= 200
    assert all(low < high for low, high in advice.ranges) and advice.ranges[-1][1] == LARGEST


def test_sizes_are_multiples_of_32_unless_given():
    advice = recommend(_table(np.full(50, 30.0), 250), GRIDS, LARGEST)
    assert all(size % 32 == 0 for size in advice.min_sizes_train)
    assert recommend(_table(np.full(50, 30.0), 250), GRIDS, LARGEST, min_size=100).min_size_test == 100


@pytest.mark.parametrize(("levels", "sizes"), [(1, [64]), (2, [64, 128]), (5, [64, 128, 256, 512, 1024])])
def test_sizes_of_interest_are_condinsts_own_for_solos_own_ranges(levels, sizes):
    ranges = get_cfg().MODEL.SOLOV2.FPN_SCALE_RANGES[:levels]
    advice = Recommendation((), tuple(map(tuple, ranges)), (), 800, 1333)
    assert list(advice.sizes_of_interest) == sizes == get_cfg().MODEL.CONDINST.SIZES_OF_INTEREST[:levels]
    assert sizes[:-1] == get_cfg().MODEL.FCOS.SIZES_OF_INTEREST[: levels - 1]


def test_a_smallest_size_is_kept_to():
    table = _table(np.full(50, 100.0), 256)
    assert recommend(table, GRIDS, LARGEST).min_size_test == 128
    assert recommend(table, GRIDS, LARGEST, least_size=384).min_size_test == 384


def test_steps_grow_with_the_square_root_of_the_images():
    assert [recommend_steps(count) for count in (1, 12, 48, 1200)] == [400, 400, 800, 4000]
