import time

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from solo_d2.structures.coco_masks import (
    BrokenRecord,
    check_segmentation,
    is_near_image,
    measure_segmentation,
    pack,
)

HEIGHT, WIDTH = 20, 30
SQUARE = [2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]


def _rle(mask, compressed=True):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    if compressed:
        return {"size": rle["size"], "counts": rle["counts"].decode()}
    flat = mask.T.reshape(-1)
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, len(flat)]).tolist()
    return {"size": list(mask.shape), "counts": ([0] if flat[0] else []) + runs}


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_rle_of_random_masks(seed, compressed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    top, left = rng.integers(0, 15, 2)
    mask[top : top + 5, left : left + 12] = rng.random((5, min(12, WIDTH - left))) < rng.uniform(0.1, 1)
    mask[0, 0] |= seed % 2 == 0
    measures = measure_segmentation(_rle(mask, compressed), HEIGHT, WIDTH)
    rows, columns = np.nonzero(mask)
    assert measures.area == mask.sum() and not measures.fixed
    assert measures.box == (
        columns.min(),
        rows.min(),
        np.ptp(columns) + 1,
        np.ptp(rows) + 1,
    )


@pytest.mark.parametrize("compressed", [True, False])
def test_an_rle_is_packed_unchanged(compressed):
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.3
    packed = pack(_rle(mask, compressed), HEIGHT, WIDTH)
    assert np.array_equal(coco_mask.decode(packed), mask)


def test_polygons_are_packed_to_their_union():
    other = [value + 4 for value in SQUARE]
    parts = [coco_mask.decode(pack([polygon], HEIGHT, WIDTH)) for polygon in (SQUARE, other)]
    assert np.array_equal(coco_mask.decode(pack([SQUARE, other], HEIGHT, WIDTH)), parts[0] | parts[1])


def test_long_runs_in_compressed_rle():
    mask = np.zeros((1000, 1500), bool)
    mask[400:, 700:] = True
    assert measure_segmentation(_rle(mask), 1000, 1500).area == mask.sum()


def test_polygon_measures_and_parts():
    measures = measure_segmentation([SQUARE], HEIGHT, WIDTH)
    assert (measures.area, measures.box, measures.fixed) == (60.0, (2.0, 3.0, 10.0, 6.0), "")
    overlapping = measure_segmentation([SQUARE, SQUARE], HEIGHT, WIDTH)
    assert abs(overlapping.area - 60) <= 16  # union, rasterized
    outside = measure_segmentation([[-10, -10, 10, -10, 10, 10, -10, 10]], HEIGHT, WIDTH)
    assert abs(outside.area - 100) <= 21 and outside.box == (0.0, 0.0, 10.0, 10.0)


def test_polygon_mending():
    flat = measure_segmentation(SQUARE, HEIGHT, WIDTH)
    assert flat.segmentation == [SQUARE] and "outer list" in flat.fixed
    parts = measure_segmentation([SQUARE, [1, 2, 3, 4]], HEIGHT, WIDTH)
    assert parts.segmentation == [SQUARE] and "parts dropped" in parts.fixed


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        (None, "no segmentation"),
        ([], "no segmentation"),
        ({}, "no segmentation"),
        ("abc", "neither"),
        (7, "neither"),
        ([[1, 2, 3, 4]], "fewer than three"),
        ([[]], "fewer than three"),
        ([[1, 2, 3, 4, 5, 6, 7]], "odd number"),
        ([["a", 2, 3, 4, 5, 6]], "not a number"),
        ([[float("nan"), 2, 3, 4, 5, 6]], "not a number"),
        ([[True, 2, 3, 4, 5, 6]], "not a number"),
        ([None], "not a number"),
        ([[-5, -5, -2, -5, -2, -2]], "empty mask"),
        ([[10**400, 2, 3, 4, 5, 6]], "not a number"),
        ([[1e300, 2, 3, 4, 5, 6]], "not a number"),
        ([[1e12, 2, 3, 4, 5, 6]], "far outside"),
        ([[5e7, 2, 3, 4, 5, 6]], "far outside"),
        ([[-1e7, 2, 3, 4, 5, 6]], "far outside"),
        ([[0, 0, 300, 20] * 2000], "far outside"),  # a long way, although near
        ([[5, 5, 5, 5, 5, 5]], "empty mask"),
        ([[2, 10.75, 28, 10.75, 28, 11.05, 2, 11.05]], "empty mask"),  # a sliver of 8 pixels' area
        ({"size": [HEIGHT, WIDTH], "counts": [2**63, 600]}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": [10**400, 600]}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": "\ud800"}, "malformed"),
        ({"size": [10**400, WIDTH], "counts": [600]}, "size"),
        ({"size": [WIDTH, HEIGHT], "counts": [600]}, "size"),
        ({"counts": [600]}, "size"),
        ({"size": [HEIGHT, WIDTH]}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": []}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": [600]}, "empty mask"),
        ({"size": [HEIGHT, WIDTH], "counts": [500, 50]}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": [-10, 610]}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": [1.5, 598.5]}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": ""}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": "!!"}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": "ojj05i74M2N2O"}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": "oooooooooooooooo"}, "malformed"),
        ({"size": [HEIGHT, WIDTH], "counts": "\u00e9\u00e9"}, "malformed"),
    ],
)
def test_broken_segmentations(segmentation, reason):
    with pytest.raises(BrokenRecord, match=reason):
        measure_segmentation(segmentation, HEIGHT, WIDTH)


def test_bounds_alone():
    for usable in (
        None,
        [],
        [SQUARE],
        [[-5, -5, -2, -5, -2, -2]],
        {"size": [HEIGHT, WIDTH], "counts": [600]},
    ):
        check_segmentation(usable, HEIGHT, WIDTH)
    for broken in ("abc", [None], [[1e12, 2, 3, 4, 5, 6]], {"size": [HEIGHT, WIDTH], "counts": [500]}):
        with pytest.raises(BrokenRecord):
            check_segmentation(broken, HEIGHT, WIDTH)


def test_polygons_taken_on_trust_cover_a_pixel():
    """Slivers of every direction, width and length: what is not rasterized must not be empty."""
    generator = np.random.default_rng(5)
    for _ in range(3000):
        angle, thick, long = generator.uniform(0, 3.2), generator.uniform(0.2, 3), generator.uniform(1, 70)
        along = np.array([np.cos(angle), np.sin(angle)]) * long
        across = np.array([-np.sin(angle), np.cos(angle)]) * thick
        start = generator.uniform(80, 110, 2)
        corners = np.stack([start, start + along, start + along + across, start + across])
        polygon = [corners.ravel().tolist()]
        pixels = coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(polygon, 200, 200)))
        try:
            measure_segmentation(polygon, 200, 200)
        except BrokenRecord:
            assert pixels == 0
        else:
            assert pixels > 0


def test_bounded_polygons_are_rasterized_at_once():
    """The longest outline that is let through."""
    side = 1000
    polygon = [0, 0, 11 * side, -10 * side] * 90
    assert is_near_image(polygon, side, side)
    start = time.process_time()
    measure_segmentation([[*polygon, 5, 9]], side, side)
    assert time.process_time() - start < 5
