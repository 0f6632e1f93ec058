"""A short film to try out video: a camera pans over one wide scene."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from solo_d2.utils.errors import InputError
from solo_d2.utils.video_file import open_sink

from .config import SceneConfig
from .scene import compose_scene

FPS = 12.0
# Ratio of the scene's side to the frame's; object counts and sizes scale, so frames look like images.
_WIDTH = 1.6


def film_frames(num_frames: int = 48, size: int = 128, seed: int = 0) -> np.ndarray:
    """Renders the film.

    Args:
        num_frames: Number of frames in one round of the camera.
        size: Side of a frame in pixels.
        seed: Seed of the scene.

    Returns:
        (num_frames, size, size, 3) uint8 BGR.
    """
    plain = SceneConfig()
    config = replace(
        plain,
        objects=(7, 9),
        empty_fraction=0.0,
        tiny_fraction=0.0,
        diameter=(plain.diameter[0] / _WIDTH, plain.diameter[1] / _WIDTH),
    )
    side = round(_WIDTH * size)
    wide = compose_scene(config, side, seed, "val", 0).image
    frames = []
    for number in range(num_frames):
        turn = 2 * math.pi * number / num_frames
        x = round((side - size) * (0.5 - 0.5 * math.cos(turn)))
        y = round((side - size) * (0.5 + 0.5 * math.sin(turn)))
        frames.append(wide[y : y + size, x : x + size])
    return np.stack(frames)


def write_film(path: str | Path, size: int = 128, seed: int = 0) -> None:
    """Writes the film as an mp4 file, atomically.

    Raises:
        InputError: If ``path`` does not end in .mp4, or OpenCV cannot encode it.
    """
    path = Path(path)
    if path.suffix != ".mp4":
        raise InputError(f"{path}: the film is an .mp4 file")
    with open_sink(path, FPS) as sink:
        for frame in film_frames(size=size, seed=seed):
            sink.write(frame)
