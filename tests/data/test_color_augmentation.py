import numpy as np
import pytest

from detectron2.data import transforms as T
from solo_d2.config import get_cfg
from solo_d2.data.color_augmentation import ColorTransform, StrongColor, rotate_hue, saturate
from solo_d2.data.mappers import InstanceMapper

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(60, 180, (20, 30, 3), np.uint8)


def test_saturation_and_hue_keep_the_luma(image):
    for matrix in (saturate(0.3), saturate(1.2), rotate_hue(0.1), rotate_hue(-0.37)):
        changed = image @ matrix.T
        np.testing.assert_allclose(changed @ LUMA, image @ LUMA, atol=1e-3)
        assert np.abs(changed - image).max() > 1
    np.testing.assert_allclose(rotate_hue(1.0), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(rotate_hue(0.2) @ rotate_hue(-0.2), np.eye(3), atol=1e-9)
    gray = image @ saturate(0.0).T
    np.testing.assert_allclose(gray, np.repeat((image @ LUMA)[..., None], 3, 2))


def test_transform_leaves_coordinates_and_labels_alone(image):
    transform = ColorTransform(np.eye(3), np.zeros(3))
    labels, points = np.arange(600).reshape(20, 30), np.array([[1.5, 2.5]])
    assert np.array_equal(transform.apply_image(image), image)
    assert transform.apply_segmentation(labels) is labels and transform.apply_coords(points) is points
    blurred = ColorTransform(np.eye(3), np.zeros(3), sigma=2.0).apply_image(image)
    assert blurred.dtype == np.uint8 and blurred.std() < image.std() / 2
    assert abs(blurred.mean() - image.mean()) < 2
    extreme = ColorTransform(np.eye(3) * 9, np.full(3, 300.0)).apply_image(image)
    assert (extreme == 255).all()


def test_everything_off_changes_nothing(image):
    same = StrongColor(jitter_prob=0, gray_prob=0, blur_prob=0)
    assert np.array_equal(same.get_transform(image).apply_image(image), image)


@pytest.mark.parametrize("kind, strength", [(0, "mean"), (1, "std"), (2, "chroma"), (3, "luma")])
def test_each_kind_of_jitter_alone(image, kind, strength):
    jitter = [0.0] * 4
    jitter[kind] = 0.2
    np.random.seed(kind)
    augmentation = StrongColor(jitter=jitter, jitter_prob=1, gray_prob=0, blur_prob=0)
    changed = augmentation.get_transform(image).apply_image(image).astype(float)
    luma = changed @ LUMA
    if strength == "mean":
        assert abs(luma.mean() / (image @ LUMA).mean() - 1) > 0.01
        np.testing.assert_allclose(changed / image, (changed / image).mean(), atol=0.02)
    elif strength == "std":
        assert (
            abs(luma.mean() - (image @ LUMA).mean()) < 1 and abs(luma.std() / (image @ LUMA).std() - 1) > 0.01
        )
    else:
        np.testing.assert_allclose(luma, image @ LUMA, atol=1.5)
        assert np.abs(changed - image).max() > 2


def test_channel_order_is_respected(image):
    settings = {"jitter_prob": 1.0, "gray_prob": 0.5, "blur_prob": 0.5}
    np.random.seed(3)
    rgb = StrongColor(**settings).get_transform(image).apply_image(image)
    np.random.seed(3)
    flipped = np.ascontiguousarray(image[..., ::-1])
    bgr = StrongColor(**settings, image_format="BGR").get_transform(flipped).apply_image(flipped)
    assert np.abs(bgr[..., ::-1].astype(int) - rgb).max() <= 1


def test_the_mapper_appends_it_in_training_only():
    cfg = get_cfg()
    cfg.INPUT.STRONG_COLOR.ENABLED = True
    cfg.INPUT.STRONG_COLOR.JITTER = [0.1, 0.2, 0.3, 0.05]
    last = InstanceMapper.from_config(cfg, True)["augmentations"][-1]
    assert isinstance(last, StrongColor) and last.jitter == (0.1, 0.2, 0.3, 0.05)
    assert last.image_format == "BGR"
    assert not any(
        isinstance(a, StrongColor) for a in InstanceMapper.from_config(cfg, False)["augmentations"]
    )
    assert isinstance(last, T.Augmentation)


def test_keys_are_the_defaults():
    node, defaults = get_cfg().INPUT.STRONG_COLOR, StrongColor()
    for name in ("jitter", "jitter_prob", "gray_prob", "blur_sigma", "blur_prob"):
        value = getattr(defaults, name)
        assert node[name.upper()] == (list(value) if isinstance(value, tuple) else value)
