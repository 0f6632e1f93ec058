import numpy as np
import pytest

import detectron2
from detectron2.utils.colormap import colormap

only_d2lite = pytest.mark.skipif("d2lite" not in detectron2.__version__, reason="Detectron2's colors repeat")


@pytest.mark.parametrize("maximum", [1, 255])
def test_range_and_channel_order(maximum):
    rgb, bgr = colormap(rgb=True, maximum=maximum), colormap(maximum=maximum)
    assert rgb.dtype == np.float32 and rgb.shape[1] == 3
    assert 0.5 * maximum < rgb.max() <= maximum and rgb.min() >= 0
    assert np.array_equal(rgb, bgr[:, ::-1])


@only_d2lite
def test_colors_differ():
    colors = colormap(rgb=True, maximum=1)
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=2)
    assert distances[np.triu_indices(len(colors), k=1)].min() > 0.02
