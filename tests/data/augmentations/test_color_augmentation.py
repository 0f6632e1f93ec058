from functools import partial

import numpy as np
import pytest

from detectron2.data import transforms as T
from solo_d2.config import get_cfg
from solo_d2.data.augmentations.color import ColorTransform, StrongColor
from solo_d2.data.augmentations.photometric import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    blur,
)
from solo_d2.data.mappers import InstanceMapper
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

LIMITS = {adjust_brightness: (0.6, 1.4), adjust_contrast: (0.5, 1.5), adjust_saturation: (0.0, 2.2)}
JITTER = (0.4, 0.5, 1.2, 0.1)
make_color = partial(build, StrongColor, get_cfg(), "INPUT.STRONG_COLOR", format="RGB")


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def draws(count=200, **settings):
    np.random.seed(0)
    augmentation = make_color(**settings)
    return [augmentation.get_transform(None).changes for _ in range(count)]


def test_changes_come_in_order_and_leave_coordinates_and_labels(image):
    transform = ColorTransform([(adjust_brightness, 0.5), (blur, 2.0)])
    assert np.array_equal(transform.apply_image(image), blur(adjust_brightness(image, 0.5), 2.0))
    labels, points = np.arange(600).reshape(20, 30), np.array([[1.5, 2.5]])
    assert transform.apply_segmentation(labels) is labels and transform.apply_coords(points) is points


def test_everything_off_changes_nothing(image):
    for settings in ({"jitter_prob": 0}, {"jitter_prob": 1, "jitter": (0, 0, 0, 0)}):
        same = make_color(gray_prob=0, blur_prob=0, **settings)
        assert same.get_transform(image).apply_image(image) is image


def test_jitter_is_within_its_limits_and_in_any_order():
    drawn = draws(jitter=JITTER, jitter_prob=1, gray_prob=0, blur_prob=0)
    assert len({tuple(change for change, _ in changes) for changes in drawn}) == 24
    for adjust, (low, high) in LIMITS.items():
        amounts = [dict(changes)[adjust] for changes in drawn]
        assert (
            low <= min(amounts) < low + 0.1 * (high - low) < high - 0.1 * (high - low) < max(amounts) <= high
        )
    turns = [dict(changes)[adjust_hue] for changes in drawn]
    assert -0.1 <= min(turns) < -0.08 < 0.08 < max(turns) <= 0.1


@pytest.mark.parametrize("name, adjust", [("gray", adjust_saturation), ("blur", blur)])
def test_grey_and_blur_happen_as_often_as_asked(name, adjust):
    chances = {"jitter_prob": 0, "gray_prob": 0, "blur_prob": 0, f"{name}_prob": 0.3}
    drawn = [changes for changes in draws(**chances, blur_sigma=(0.5, 1.5)) if changes]
    assert 40 <= len(drawn) <= 80
    for [(change, amount)] in drawn:
        assert change is adjust and (amount == 0 if name == "gray" else 0.5 <= amount <= 1.5)


def test_channel_order_is_respected(image):
    settings = {"jitter_prob": 1.0, "gray_prob": 0.0, "blur_prob": 0.5}
    np.random.seed(3)
    rgb = make_color(**settings).get_transform(image).apply_image(image)
    np.random.seed(3)
    bgr = make_color(**settings, format="BGR").get_transform(image).apply_image(image[..., ::-1])
    assert np.array_equal(bgr[..., ::-1], rgb) and not np.array_equal(rgb, image)
    cfg = get_cfg()
    cfg.INPUT.FORMAT = "L"
    with pytest.raises(InputError, match="^INPUT.FORMAT is 'L'"):
        build(StrongColor, cfg, "INPUT.STRONG_COLOR", "INPUT")


@pytest.mark.parametrize(
    "key, values",
    [("jitter", (0.4, 0.4, 0.4)), ("jitter", (0, 0, 0, 0.6)), ("blur_sigma", (1.0,)), ("blur_sigma", (2, 1))],
)
def test_wrong_numbers_are_one_line(key, values):
    with pytest.raises(InputError, match=f"^{key} is"):
        make_color(**{key: values})


def test_the_mapper_appends_it_in_training_only():
    cfg = get_cfg()
    cfg.INPUT.STRONG_COLOR.ENABLED = True
    cfg.INPUT.STRONG_COLOR.JITTER = [0.1, 0.2, 0.3, 0.05]
    last = InstanceMapper.from_config(cfg, True)["augmentations"][-1]
    assert isinstance(last, StrongColor) and last.jitter == (0.1, 0.2, 0.3, 0.05)
    assert last.format == "BGR"
    assert not any(
        isinstance(a, StrongColor) for a in InstanceMapper.from_config(cfg, False)["augmentations"]
    )
    assert isinstance(last, T.Augmentation)
