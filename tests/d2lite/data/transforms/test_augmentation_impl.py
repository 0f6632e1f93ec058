import json
from pathlib import Path

import numpy as np
import pytest
from fvcore.transforms.transform import NoOpTransform

from detectron2.data import transforms as T

GOLDEN = Path(__file__).resolve().parents[5] / "shared/golden/detectron2/resize_shortest_edge.json"
IMAGE = np.random.default_rng(0).integers(0, 256, (30, 50, 3)).astype(np.uint8)


def applied(augmentation, image=IMAGE):
    aug_input = T.AugInput(image)
    transform = augmentation(aug_input)
    return aug_input.image, transform


@pytest.mark.skipif(not GOLDEN.is_file(), reason="recorded data is not next to the repository")
def test_golden_resize_shortest_edge():
    for case, expected in json.loads(GOLDEN.read_text()).items():
        image_size, limits = case.split("@")
        h, w = map(int, image_size.split("x"))
        short, longest = map(int, limits.split(","))
        assert list(T.ResizeShortestEdge.get_output_shape(h, w, short, longest)) == expected
        augmentation = T.ResizeShortestEdge(short, longest, "choice")
        transform = augmentation.get_transform(np.zeros((h, w, 3), np.uint8))
        assert [transform.new_h, transform.new_w] == expected


@pytest.mark.parametrize(("style", "allowed"), [("range", range(10, 16)), ("choice", (10, 15))])
def test_resize_shortest_edge_draws_the_length(style, allowed):
    np.random.seed(0)
    augmentation = T.ResizeShortestEdge((10, 15), sample_style=style)
    seen = {applied(augmentation)[0].shape[0] for _ in range(100)}
    assert seen == set(allowed)


def test_resize_shortest_edge_zero_keeps_the_image():
    image, transform = applied(T.ResizeShortestEdge(0))
    assert isinstance(transform, NoOpTransform) and np.array_equal(image, IMAGE)


@pytest.mark.parametrize("axis", [0, 1])
def test_flip_probability(axis):
    assert np.array_equal(applied(T.RandomFlip(0.0))[0], IMAGE)
    flip = T.RandomFlip(1.0, horizontal=axis == 1, vertical=axis == 0)
    assert np.array_equal(applied(flip)[0], np.flip(IMAGE, axis))


@pytest.mark.parametrize("both", [True, False])
def test_flip_needs_one_axis(both):
    with pytest.raises(ValueError):
        T.RandomFlip(horizontal=both, vertical=both)


@pytest.mark.parametrize(
    ("crop_type", "size", "heights", "widths"),
    [
        ("relative", (0.5, 0.2), {15}, {10}),
        ("relative_range", (0.5, 0.9), set(range(15, 31)), set(range(45, 51))),
        ("absolute", (12, 99), {12}, {50}),
        ("absolute_range", (28, 45), {28, 29, 30}, set(range(28, 46))),
    ],
)
def test_crop_sizes(crop_type, size, heights, widths):
    np.random.seed(0)
    augmentation = T.RandomCrop(crop_type, size)
    shapes = [applied(augmentation)[0].shape for _ in range(200)]
    assert {h for h, *_ in shapes} <= heights
    assert {w for _, w, *_ in shapes} <= widths
    if crop_type == "absolute_range":
        assert {h for h, *_ in shapes} == heights


def test_crop_is_a_window_of_the_image_and_reaches_all_corners():
    np.random.seed(0)
    origins = set()
    for _ in range(300):
        image, transform = applied(T.RandomCrop("absolute", (28, 48)))
        origins.add((transform.x0, transform.y0))
        assert np.array_equal(image, IMAGE[transform.y0 :, transform.x0 :][:28, :48])
    assert origins == {(x, y) for x in range(3) for y in range(3)}


def test_unknown_crop_type():
    with pytest.raises(AssertionError):
        T.RandomCrop("round", (1, 1))
