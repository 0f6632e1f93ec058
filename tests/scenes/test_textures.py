import numpy as np
import pytest

from solo_d2.scenes import STUFF_CLASSES
from solo_d2.scenes.textures import stuff_texture, thing_texture, value_noise, vivid_color


@pytest.mark.parametrize("cells", [(1, 1), (4, 7), (32, 32), (64, 1)])
def test_value_noise_is_bounded_and_varies(cells):
    noise = value_noise(32, cells, np.random.default_rng(0), channels=2)
    assert noise.shape == (2, 32, 32) and noise.dtype == np.int32
    assert noise.min() >= -129 and noise.max() <= 128 and noise.std() > 5


def test_value_noise_equals_naive_interpolation():
    size, (down, across) = 12, (3, 4)
    noise = value_noise(size, (down, across), np.random.default_rng(5))[0]
    grid = np.random.default_rng(5).integers(-128, 128, size=(1, down + 1, across + 1))[0]

    def smooth(position, cells):
        left, fraction = divmod(position * cells / size, 1)
        return int(left), fraction * fraction * (3 - 2 * fraction)

    for y in range(size):
        for x in range(size):
            (i, v), (j, u) = smooth(y, down), smooth(x, across)
            top = grid[i, j] * (1 - u) + grid[i, j + 1] * u
            bottom = grid[i + 1, j] * (1 - u) + grid[i + 1, j + 1] * u
            assert abs(noise[y, x] - (top * (1 - v) + bottom * v)) < 3.5


def test_stuff_textures_are_images_and_can_be_told_apart():
    means = []
    for kind in STUFF_CLASSES:
        texture = stuff_texture(kind, 64, np.random.default_rng(0))
        assert texture.shape == (64, 64, 3) and texture.dtype == np.uint8 and texture.std() > 2
        means.append(texture.mean(axis=(0, 1)))
    for first in range(len(means)):
        for second in range(first):
            assert np.abs(means[first] - means[second]).sum() > 60


def test_thing_texture_keeps_to_its_color():
    rng = np.random.default_rng(2)
    for _ in range(20):
        color = vivid_color(rng, 0.4, 0.1)
        texture = thing_texture(color, 64, (30.0, 20.0), 25.0, rng)
        assert texture.shape == (64, 64, 3) and texture.dtype == np.uint8
        assert np.abs(texture.astype(int) - np.array(color)).max() <= 85 + 26
