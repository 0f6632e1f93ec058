import numpy as np
import pytest

from solo_d2.scenes import THING_CLASSES
from solo_d2.scenes.shapes import Outline, make_outline, rasterize, soften


@pytest.mark.parametrize("kind", THING_CLASSES)
@pytest.mark.parametrize("diameter", [8.0, 12.5, 70.0])
def test_outline_has_the_asked_diameter_and_is_centered(kind, diameter):
    outer = make_outline(kind, diameter, np.random.default_rng(0)).outer
    assert np.isclose(np.ptp(outer, axis=0).max(), diameter)
    assert np.allclose(outer.max(axis=0) + outer.min(axis=0), 0)


def test_only_the_ring_has_a_hole_and_its_center_is_empty():
    for kind in THING_CLASSES:
        outline = make_outline(kind, 40.0, np.random.default_rng(1))
        assert (outline.hole is not None) == (kind == "ring")
        alpha, _ = rasterize(outline, (32.0, 32.0), 64)
        assert (alpha[32, 32] == 0) == (kind == "ring")


def _box(left, top, right, bottom):
    return Outline(np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float))


def test_raster_covers_whole_pixels_fully_and_halves_by_half():
    alpha, area = rasterize(_box(-2, -2, 2.5, 2), (8.0, 8.0), 16)
    assert (alpha[6:10, 6:10] == 255).all()
    assert 100 < alpha[7, 10] < 200
    assert alpha.astype(bool).sum() == 4 * 5
    assert area in (16, 20)


@pytest.mark.parametrize(
    ("center", "inside"), [((0.0, 0.0), 4), ((16.0, 8.0), 8), ((40.0, 8.0), 0), ((-9.0, -9.0), 0)]
)
def test_raster_cuts_at_the_border_but_counts_all(center, inside):
    alpha, area = rasterize(_box(-2, -2, 2, 2), center, 16)
    assert (np.count_nonzero(alpha), area) == (inside, 16)


def test_soften_keeps_flat_regions_and_equals_a_naive_blur():
    rng = np.random.default_rng(0)
    alpha = rng.integers(0, 256, size=(9, 11)).astype(np.uint8)
    padded = np.pad(alpha.astype(float), 2, mode="edge")
    kernel = np.array([1, 2, 3, 2, 1]) / 9
    naive = np.zeros(alpha.shape)
    for dy in range(5):
        for dx in range(5):
            naive += kernel[dy] * kernel[dx] * padded[dy : dy + 9, dx : dx + 11]
    assert np.abs(soften(alpha, 3) - naive).max() <= 0.5 + 1e-9
    assert soften(alpha, 1) is alpha
    assert (soften(np.full((5, 5), 255, np.uint8), 5) == 255).all()
