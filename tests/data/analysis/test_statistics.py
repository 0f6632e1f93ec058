import numpy as np
import pytest
from pycocotools import mask as coco_mask

from solo_d2.data.analysis.statistics import (
    InstanceTable,
    collision_fraction,
    input_scales,
    level_statistics,
    mass_center,
    resize_factors,
    tabulate_instances,
)
from solo_d2.utils.errors import InputError

GRIDS = (40, 36, 24, 16, 12)
RANGES = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))


def test_mass_center_equals_the_mean_of_pixel_indices():
    rng = np.random.default_rng(0)
    mask = np.zeros((30, 40), np.uint8)
    mask[5:22, 9:31] = rng.random((17, 22)) < 0.5
    rows, columns = np.nonzero(mask)
    packed = coco_mask.encode(np.asfortranarray(mask))
    flat = mask.T.reshape(-1)
    runs = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    for segmentation in (packed, {"size": [30, 40], "counts": runs}):
        assert mass_center(segmentation, 30, 40) == pytest.approx((columns.mean(), rows.mean()))
    assert mass_center([[4, 6, 14, 6, 14, 12, 4, 12]], 30, 40) == pytest.approx((8.5, 8.5), abs=0.6)


def test_resize_factors():
    sizes = np.array([(100, 50), (50, 50), (400, 50)], float)
    assert resize_factors(sizes, 100, 300) == pytest.approx([2, 2, 0.75])


def _table(centers, scales, images=None, size=(320, 320)):
    images = np.zeros(len(centers), int) if images is None else np.array(images)
    sizes = np.tile(np.array(size, float), (images.max() + 1, 1))
    return InstanceTable(images, np.array(scales, float), np.array(centers, float), sizes, 0)


def test_levels_are_inclusive_and_overlap():
    table = _table([(10 * i, 5) for i in range(5)], [48, 96, 97, 192, 1])
    levels = level_statistics(table, 320, 1000, GRIDS, RANGES)
    assert [level.instances for level in levels] == [3, 4, 3, 1, 0]
    assert input_scales(table, 640, 1000) == pytest.approx(2 * table.scale)


def test_collisions_equal_a_loop():
    rng = np.random.default_rng(3)
    count = 300
    table = _table(rng.uniform(0, 300, (count, 2)), rng.uniform(5, 150, count), rng.integers(0, 4, count))
    grids, ranges = (12, 7), ((1, 60), (40, 200))
    levels = level_statistics(table, 320, 1000, grids, ranges)
    lonely = np.zeros(count, bool)
    for level, grid, (low, high) in zip(levels, grids, ranges, strict=True):
        member = [i for i in range(count) if low <= table.scale[i] <= high]
        cell = {i: (table.image[i], *(table.center[i] / 320 * grid).astype(int)) for i in member}
        shared = [i for i in member if sum(cell[i] == cell[j] for j in member) > 1]
        assert (level.instances, level.collisions) == (len(member), len(shared))
        lonely[[i for i in member if i not in shared]] = True
    assert collision_fraction(table, 320, 1000, grids, ranges) == pytest.approx((~lonely).mean())


def test_cells_are_those_of_the_padded_image():
    # 100 px wide pads to 128: cells of a grid of 4 are 32 px, so 30 and 33 differ, and 70 and 73 not.
    table = _table([(30, 5), (33, 5), (70, 5), (73, 5)], [10] * 4, size=(100, 100))
    (level,) = level_statistics(table, 100, 100, (4,), ((1, 96),))
    assert level.collisions == 2


def test_instances_of_other_images_do_not_collide():
    table = _table([(5, 5), (5, 5)], [10, 10], images=[0, 1])
    assert collision_fraction(table, 320, 1000, GRIDS, RANGES) == 0


def test_tabulate():
    square = [[2, 3, 12, 3, 12, 9, 2, 9]]
    record = {"image_id": 5, "segmentation": square, "bbox": [2, 3, 10, 6], "iscrowd": 0}
    content = {
        "images": [{"id": 4, "height": 20, "width": 30}, {"id": 5, "height": 40, "width": 50}],
        "annotations": [record, {**record, "iscrowd": 1}],
    }
    table = tabulate_instances(content)
    assert table.image.tolist() == [1] and table.crowds == 1
    assert table.scale == pytest.approx([60**0.5])
    assert table.image_size.tolist() == [[30, 20], [50, 40]]
    with pytest.raises(InputError, match="no instance"):
        tabulate_instances({**content, "annotations": []})
