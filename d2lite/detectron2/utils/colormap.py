"""Colours that can be told apart, on photographs and from each other."""

import colorsys

import numpy as np

_NUM_COLORS = 72
_GOLDEN_RATIO = 0.618034  # steps of it along the circle of hues never come close to an old one soon
_TONES = ((0.85, 1.0), (0.55, 1.0), (1.0, 0.75), (0.7, 0.85))  # (saturation, value)


def _palette() -> np.ndarray:
    colors = [
        colorsys.hsv_to_rgb((0.02 + i * _GOLDEN_RATIO) % 1.0, *_TONES[i % len(_TONES)])
        for i in range(_NUM_COLORS)
    ]
    return np.array(colors, dtype=np.float32)


_COLORS = _palette()


def colormap(rgb: bool = False, maximum: int = 255) -> np.ndarray:
    """Returns the palette.

    Args:
        rgb: channel order RGB rather than BGR.
        maximum: the channels' largest value, 255 or 1.

    Returns:
        (n, 3) float32 in [0, maximum].
    """
    assert maximum in (1, 255), f"maximum must be 1 or 255, got {maximum}."
    return (_COLORS if rgb else _COLORS[:, ::-1]) * maximum


def random_color(rgb: bool = False, maximum: int = 255) -> np.ndarray:
    """Returns one colour (3,) of the palette, see `colormap`."""
    return random_colors(1, rgb, maximum)[0]


def random_colors(N: int, rgb: bool = False, maximum: int = 255) -> list[np.ndarray]:
    """Returns N colours (3,) of the palette, all different while it has that many."""
    chosen = np.random.choice(len(_COLORS), N, replace=len(_COLORS) < N)
    return list(colormap(rgb, maximum)[chosen])
