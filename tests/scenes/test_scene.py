import numpy as np
import pytest

from solo_d2.scenes import STUFF_CLASSES, SceneConfig, compose_scene


@pytest.fixture(scope="module")
def scenes():
    return [compose_scene(SceneConfig(), 128, 0, "train", index) for index in range(60)]


def test_same_arguments_same_scene_and_others_differ():
    first = compose_scene(SceneConfig(), 64, 3, "val", 5)
    again = compose_scene(SceneConfig(), 64, 3, "val", 5)
    assert np.array_equal(first.image, again.image) and np.array_equal(first.owner, again.owner)
    for other in [(4, "val", 5), (3, "train", 5), (3, "val", 6)]:
        assert not np.array_equal(first.image, compose_scene(SceneConfig(), 64, *other).image)


def test_pixels_are_the_same_everywhere():
    """Recorded numbers, up to OpenCV's rounding: a change here needs a new VERSION in generate.py."""
    image = compose_scene(SceneConfig(), 128, 0, "train", 6).image.astype(np.int64)
    weights = np.arange(image.size).reshape(image.shape) % 251
    assert (image.sum(), (image * weights).sum()) == pytest.approx((6369512, 793557368), rel=1e-4)


def test_objects_keep_enough_of_themselves(scenes):
    config = SceneConfig()
    for scene in scenes:
        for index, item in enumerate(scene.objects):
            area = scene.mask(index).sum()
            assert area >= max(config.min_area, config.min_visible * item.full_area)


def test_mattes_agree_with_masks_and_share_each_pixel(scenes):
    for scene in scenes:
        if scene.objects:
            total = sum(item.alpha.astype(int) for item in scene.objects)
            assert total.max() <= 255 + 2 * len(scene.objects)
        for index, item in enumerate(scene.objects):
            assert (item.alpha[scene.mask(index)] >= 60).all()


def test_image_is_the_mattes_over_the_background_up_to_noise(scenes):
    scene = next(scene for scene in scenes if len(scene.objects) > 2)
    top = scene.objects[-1]
    inside = top.alpha == 255
    difference = np.abs(scene.image.astype(int) - top.color)[inside]
    assert difference.max() <= SceneConfig().pixel_noise


def test_distributions(scenes):
    counts = [len(scene.objects) for scene in scenes]
    assert min(counts) == 0 and max(counts) <= 6 and 2 < np.mean(counts) < 4.5
    boxes = []
    border = 0
    for scene in scenes:
        for index in range(len(scene.objects)):
            rows, columns = np.nonzero(scene.mask(index))
            boxes.append(max(np.ptp(rows), np.ptp(columns)) + 1)
            border += rows.min() == 0 or columns.min() == 0 or rows.max() == 127 or columns.max() == 127
    boxes = np.array(boxes)
    assert 0.02 < (boxes <= 13).mean() < 0.25 and boxes.max() <= 80
    assert border > 5
    stuff = np.unique(np.concatenate([np.unique(scene.stuff) for scene in scenes]))
    assert len(stuff) == len(STUFF_CLASSES)


def test_config_is_followed():
    none = SceneConfig(empty_fraction=1.0)
    assert not compose_scene(none, 64, 0, "train", 0).objects
    many = SceneConfig(objects=(12, 12), empty_fraction=0.0, tiny_fraction=1.0, tiny_diameter=(0.09, 0.12))
    assert len(compose_scene(many, 128, 0, "train", 0).objects) == 12
