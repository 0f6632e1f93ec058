import numpy as np
import pytest
from pycocotools import mask as coco_mask

from solo_d2.data.datasets.coco_masks import BrokenRecord, is_number, measure_segmentation

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
    assert measures.area == mask.sum() and not measures.mended
    assert measures.box == (
        columns.min(),
        rows.min(),
        np.ptp(columns) + 1,
        np.ptp(rows) + 1,
    )


def test_long_runs_in_compressed_rle():
    mask = np.zeros((1000, 1500), bool)
    mask[400:, 700:] = True
    assert measure_segmentation(_rle(mask), 1000, 1500).area == mask.sum()


def test_polygon_measures_and_parts():
    measures = measure_segmentation([SQUARE], HEIGHT, WIDTH)
    assert (measures.area, measures.box, measures.mended) == (60.0, (2.0, 3.0, 10.0, 6.0), "")
    overlapping = measure_segmentation([SQUARE, SQUARE], HEIGHT, WIDTH)
    assert abs(overlapping.area - 60) <= 16  # union, rasterised
    outside = measure_segmentation([[-10, -10, 10, -10, 10, 10, -10, 10]], HEIGHT, WIDTH)
    assert abs(outside.area - 100) <= 21 and outside.box == (0.0, 0.0, 10.0, 10.0)


def test_polygon_mending():
    flat = measure_segmentation(SQUARE, HEIGHT, WIDTH)
    assert flat.segmentation == [SQUARE] and "outer list" in flat.mended
    parts = measure_segmentation([SQUARE, [1, 2, 3, 4]], HEIGHT, WIDTH)
    assert parts.segmentation == [SQUARE] and "parts dropped" in parts.mended


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


def test_is_number():
    assert is_number(1) and is_number(-2.5)
    assert not any(is_number(value) for value in (True, None, "1", float("inf"), float("nan"), [1]))
