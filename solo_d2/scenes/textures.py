"""Textures of stuff and things: value noise, gradients and patterns in integer arithmetic.

Integers make the pixels the same on every machine, whatever its vector instructions. Images are BGR.
"""

import colorsys
import math
from collections.abc import Callable

import numpy as np

_UNIT_BITS = 8
_UNIT = 1 << _UNIT_BITS  # fixed-point one of weights and of sub-pixel coordinates
_NOISE = 128  # value noise is in [-_NOISE, _NOISE]


def value_noise(size: int, cells: tuple[int, int], rng: np.random.Generator, channels: int = 1) -> np.ndarray:
    """Draws random values on a coarse grid and interpolates them smoothly.

    Args:
        size: Side of the result in pixels.
        cells: Grid cells (down, across); as many cells as pixels give white noise.
        rng: Source of the grid values.
        channels: Number of independent fields.

    Returns:
        (channels, size, size) int32 in [-128, 128].
    """
    down, across = (_interpolation(size, min(count, size)) for count in cells)
    shape = (channels, down.shape[1], across.shape[1])
    grid = rng.integers(-_NOISE, _NOISE, size=shape).astype(np.float64)
    rows = np.floor(np.matmul(down, grid) / _UNIT)
    return np.floor(np.matmul(rows, across.T) / _UNIT).astype(np.int32)


def _interpolation(size: int, cells: int) -> np.ndarray:
    """Returns (size, cells + 1) weights of smooth interpolation; every row sums to ``_UNIT``.

    Integers in float64: sums of their products are exact in any order, and matmul is fast.
    """
    positions = np.arange(size) * cells
    left = positions // size
    fraction = positions % size / size
    weight = np.rint(_UNIT * fraction * fraction * (3 - 2 * fraction))
    matrix = np.zeros((size, cells + 1))
    matrix[np.arange(size), left] = _UNIT - weight
    matrix[np.arange(size), left + 1] = weight
    return matrix


def _shade(color: tuple[int, int, int], *offsets: np.ndarray) -> np.ndarray:
    """A BGR color plus (size, size) brightness offsets, as (size, size, 3) int32, not clipped."""
    offset = sum(offsets)
    return np.stack([offset + value for value in color], axis=-1)


def _mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Blends ``first`` (weight 0) and ``second`` (weight 256) by (size, size) weights."""
    return first + ((second - first) * weight[..., None] >> _UNIT_BITS)


def _jitter(color: tuple[int, int, int], rng: np.random.Generator) -> tuple[int, int, int]:
    blue, green, red = (int(value) for value in np.array(color) + rng.integers(-14, 15, size=3))
    return blue, green, red


def _sky(size: int, rng: np.random.Generator) -> np.ndarray:
    fall = np.broadcast_to((np.arange(size) * 60 // size)[:, None], (size, size))
    air = _shade(_jitter((225, 165, 105), rng), fall)
    clouds = value_noise(size, (6, 4), rng)[0] + value_noise(size, (14, 9), rng)[0] // 2
    cover = np.clip((clouds - int(rng.integers(10, 70))) * 4, 0, _UNIT - 30)
    return _mix(air, np.full_like(air, 246), cover)


def _grass(size: int, rng: np.random.Generator) -> np.ndarray:
    blades = value_noise(size, (size // 5, size), rng)[0] // 5
    patches = value_noise(size, (4, 5), rng)[0] // 5
    return _shade(_jitter((52, 132, 82), rng), blades, patches)


def _water(size: int, rng: np.random.Generator) -> np.ndarray:
    depth = np.broadcast_to((np.arange(size) * 36 // size)[:, None], (size, size))
    swell = value_noise(size, (size // 5, 5), rng)[0]
    glints = np.clip(swell - 62, 0, 60)
    return _shade(_jitter((150, 104, 44), rng), swell // 6, glints, -depth)


def _sand(size: int, rng: np.random.Generator) -> np.ndarray:
    grains = value_noise(size, (size, size), rng)[0] // 9
    ripples = value_noise(size, (11, 3), rng)[0] // 6
    return _shade(_jitter((140, 186, 214), rng), grains, ripples)


_STUFF = {"sky": _sky, "grass": _grass, "water": _water, "sand": _sand}


def stuff_texture(kind: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draws the texture of a stuff class.

    Args:
        kind: One of ``STUFF_CLASSES``.
        size: Side in pixels.
        rng: Source of its randomness.

    Returns:
        (size, size, 3) uint8 BGR.
    """
    return np.clip(_STUFF[kind](size, rng), 0, 255).astype(np.uint8)


def vivid_color(rng: np.random.Generator, hue: float, spread: float) -> tuple[int, int, int]:
    """Draws a BGR color whose hue is within ``spread`` of ``hue``, both in turns of the color circle."""
    saturation, value = rng.uniform(0.6, 0.95), rng.uniform(0.5, 0.95)
    turn = (hue + rng.uniform(-spread, spread)) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(turn, saturation, value)
    return round(255 * blue), round(255 * green), round(255 * red)


def _wave(phase: np.ndarray, period: int) -> np.ndarray:
    """Returns a triangle wave through [0, 256], steepened to soft-edged bands."""
    triangle = np.abs(phase % (2 * period) - period) * _UNIT // period
    return np.clip((triangle - _UNIT // 2) * 3 + _UNIT // 2, 0, _UNIT)


def _rotated_grid(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns pixel coordinates along and across a random direction, in 1/256 pixels."""
    angle = rng.uniform(0, math.pi)
    cosine, sine = round(_UNIT * math.cos(angle)), round(_UNIT * math.sin(angle))
    across = np.arange(size, dtype=np.int32)
    down = across[:, None]
    return across * cosine + down * sine, down * cosine - across * sine


def _plain(size: int, period: int, rng: np.random.Generator) -> np.ndarray:
    return np.zeros((size, size), np.int32)


def _stripes(size: int, period: int, rng: np.random.Generator) -> np.ndarray:
    return _wave(_rotated_grid(size, rng)[0], period)


def _checks(size: int, period: int, rng: np.random.Generator) -> np.ndarray:
    first, second = (_wave(axis, period) for axis in _rotated_grid(size, rng))
    return (first * (_UNIT - second) + second * (_UNIT - first)) // _UNIT


def _dots(size: int, period: int, rng: np.random.Generator) -> np.ndarray:
    first, second = (
        np.abs(axis % (2 * period) - period) * _UNIT // period for axis in _rotated_grid(size, rng)
    )
    return np.clip(110 - (first * first + second * second) // _UNIT, 0, 64) * 4


def _mottled(size: int, period: int, rng: np.random.Generator) -> np.ndarray:
    cells = max(2, size * _UNIT // period)
    return np.clip(value_noise(size, (cells, cells), rng)[0] * 2 + _UNIT // 2, 0, _UNIT)


_PATTERNS: tuple[Callable[[int, int, np.random.Generator], np.ndarray], ...] = (
    _plain,
    _stripes,
    _checks,
    _dots,
    _mottled,
)


def thing_texture(
    color: tuple[int, int, int],
    size: int,
    center: tuple[float, float],
    diameter: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws the surface of an object: a pattern in two shades of a color, lit from one side.

    Args:
        color: BGR, 8 bits.
        size: Side of the image in pixels.
        center: (x, y) of the object in pixels, where the light is neutral.
        diameter: Of the object in pixels; sets the pattern's period.
        rng: Source of pattern, period, second shade and light.

    Returns:
        (size, size, 3) uint8 BGR.
    """
    period = max(2 * _UNIT, round(_UNIT * diameter * rng.uniform(0.08, 0.2)))
    pattern = _PATTERNS[int(rng.integers(len(_PATTERNS)))](size, period, rng)
    step = int(rng.integers(45, 85)) * (1 if sum(color) < 3 * 120 else -1)
    light = _light(size, center, diameter, rng)
    return np.clip(_shade(color, step * pattern >> _UNIT_BITS, light), 0, 255).astype(np.uint8)


def _light(size: int, center: tuple[float, float], diameter: float, rng: np.random.Generator) -> np.ndarray:
    """Returns brightness that changes by 44 steps over the diameter, along a random direction."""
    angle = rng.uniform(0, 2 * math.pi)
    cosine, sine = round(_UNIT * math.cos(angle)), round(_UNIT * math.sin(angle))
    across = np.arange(size, dtype=np.int32) - round(center[0])
    down = (np.arange(size, dtype=np.int32) - round(center[1]))[:, None]
    return np.clip((across * cosine + down * sine) * 44 // round(_UNIT * diameter), -26, 26)
