"""Colors that differ clearly from each other and from photographs."""

import colorsys

import numpy as np

_NUM_COLORS = 72
_GOLDEN_RATIO = 0.618034  # as a step around the hue circle, consecutive colors stay far apart
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
        rgb: Channel order RGB instead of BGR.
        maximum: Largest value of a channel, 255 or 1.

    Returns:
        (N, 3) float32 in [0, maximum].
    """
    assert maximum in (1, 255), f"maximum must be 1 or 255, got {maximum}."
    return (_COLORS if rgb else _COLORS[:, ::-1]) * maximum
