import numpy as np
import pytest
import torch
from PIL import Image

from solo_d2.config import get_cfg
from solo_d2.data.mappers import TwoViewMapper
from solo_d2.data.stream import seeded_by_position
from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import UNREADABLE


def make_mapper(image_format="RGB", **keys):
    cfg = get_cfg()
    cfg.INPUT.FORMAT = image_format
    cfg.INPUT.VIEWS.SIZE = 32
    for key, value in keys.items():
        cfg.INPUT.VIEWS[key] = value
    return TwoViewMapper(cfg)


@pytest.fixture
def record(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    path = tmp_path / "image.png"
    Image.fromarray(pixels).save(path)
    return {"file_name": str(path), "image_id": 3, "annotations": [{"category_id": 9}]}


def test_two_different_views_and_no_labels(record):
    before = dict(record)
    with seeded_by_position(0, 5):
        sample = make_mapper()(record)
    assert set(sample) == {"file_name", "image_id", "image", "key_image"} and record == before
    for name in ("image", "key_image"):
        assert sample[name].shape == (3, 32, 32) and sample[name].dtype == torch.uint8
        assert sample[name].is_contiguous()
    assert not torch.equal(sample["image"], sample["key_image"])


def test_the_position_decides(record):
    mapper, samples = make_mapper(), []
    for position in (5, 5, 6):
        with seeded_by_position(0, position):
            samples.append(mapper(record))
    for name in ("image", "key_image"):
        assert torch.equal(samples[0][name], samples[1][name])
        assert not torch.equal(samples[0][name], samples[2][name])


NOTHING = dict(JITTER_PROB=0.0, GRAY_PROB=0.0, BLUR_PROB=0.0, FLIP_PROB=0.0, SCALE=(1.0, 1.0))


def test_channel_order(record):
    views = {}
    for order in ("RGB", "BGR"):
        with seeded_by_position(0, 1):
            views[order] = make_mapper(order)(record)["image"]
    assert torch.equal(views["RGB"].flip(0), views["BGR"])
    with pytest.raises(InputError, match="in RGB and BGR only"):
        make_mapper("L")


def test_each_change_can_be_switched(record):
    image = np.asarray(Image.open(record["file_name"]))[:40, :40]
    plain = make_mapper(**NOTHING, ASPECT_RATIO=(1.0, 1.0)).view(image)
    for key, check in (
        ("FLIP_PROB", lambda view: torch.equal(view.flip(2), plain)),
        ("GRAY_PROB", lambda view: torch.equal(view[0], view[1])),
        ("BLUR_PROB", lambda view: view.float().std() < plain.float().std()),
        ("JITTER_PROB", lambda view: not torch.equal(view, plain)),
    ):
        keys = {**NOTHING, "ASPECT_RATIO": (1.0, 1.0), "BLUR_SIGMA": (1.0, 2.0), key: 1.0}
        np.random.seed(0)
        assert check(make_mapper(**keys).view(image)), key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SIZE", 0),
        ("SCALE", (0.5, 0.2)),
        ("SCALE", (0.2, 2.0)),
        ("SCALE", (0.0, 1.0)),
        ("ASPECT_RATIO", (0.0, 1.0)),
        ("JITTER", (0.4, 0.4)),
        ("JITTER", (0.4, 0.4, 0.4, 0.9)),
        ("BLUR_SIGMA", (0.0, 0.0)),
        ("BLUR_SIGMA", (1.0,)),
    ],
)
def test_values_out_of_range(key, value):
    with pytest.raises(InputError, match=f"^INPUT.VIEWS.{key}.* (is|must be) "):
        make_mapper(**{key: value})


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_pixels_of_more_than_8_bits_are_no_picture(tmp_path, mode):
    """Pillow would cut them off: white wherever a value is above 255."""
    values = np.linspace(0, 65535, 2400).reshape(40, 60)
    path = tmp_path / "deep.tif"
    Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.float32)).save(path)
    with pytest.raises(UNREADABLE, match="8 bits"):
        make_mapper()({"file_name": str(path)})
