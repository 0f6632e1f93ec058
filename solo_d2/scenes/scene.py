"""Composes one scene: stuff regions at the back, and objects painted over them one by one.

All randomness comes from one generator seeded with (seed, split, index), so a scene does not depend on the
number or order of the others or on the process.
"""

from dataclasses import dataclass, field

import numpy as np

from .config import SPLITS, STUFF_CLASSES, THING_CLASSES, SceneConfig
from .shapes import make_outline, rasterize, soften
from .textures import stuff_texture, thing_texture, value_noise, vivid_color

_COLOR_DRAWS = 8  # colors tried per object to reach SceneConfig.contrast


@dataclass
class SceneObject:
    """One object of a scene.

    Attributes:
        kind: Index into ``THING_CLASSES``.
        alpha: (H, W) uint8, visible matte: the object's own alpha times what later objects let
            through.
        color: (H, W, 3) uint8 BGR, the object's own unmixed colors.
        full_area: Pixels of its mask before cropping and occlusion.
    """

    kind: int
    alpha: np.ndarray
    color: np.ndarray
    full_area: int


@dataclass
class Scene:
    """A finished scene.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        stuff: (H, W) uint8, index into ``STUFF_CLASSES``, also below the objects.
        owner: (H, W) uint8, 0 where no object covers at least half a pixel, else 1 + index of the
            top one.
        objects: Back to front.
    """

    image: np.ndarray
    stuff: np.ndarray
    owner: np.ndarray
    objects: list[SceneObject] = field(default_factory=list)

    def mask(self, index: int) -> np.ndarray:
        """Returns the visible pixels of an object, (H, W) bool. Masks of a scene never overlap."""
        return self.owner == index + 1


def compose_scene(config: SceneConfig, size: int, seed: int, split: str, index: int) -> Scene:
    """Composes scene ``index`` of a split.

    Args:
        config: Distributions to draw from.
        size: Side of the image in pixels.
        seed: Seed of the whole set.
        split: One of ``SPLITS``.
        index: Index of the scene, from 0.

    Returns:
        The scene, the same for the same arguments.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    stuff = _stuff_map(config, size, rng)
    image = np.zeros((size, size, 3), np.uint8)
    for kind in np.unique(stuff):
        image = np.where((stuff == kind)[..., None], stuff_texture(STUFF_CLASSES[kind], size, rng), image)
    scene = Scene(image, stuff, np.zeros((size, size), np.uint8))
    if rng.random() >= config.empty_fraction:
        for _ in range(int(rng.integers(config.objects[0], config.objects[1] + 1))):
            _add_object(scene, config, rng)
    amplitude = config.pixel_noise
    noise = rng.integers(-amplitude, amplitude + 1, size=scene.image.shape, dtype=np.int16)
    scene.image = np.clip(scene.image + noise, 0, 255).astype(np.uint8)
    return scene


def _stuff_map(config: SceneConfig, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draws bands with wavy borders; the sky is always at the top."""
    count = int(rng.integers(config.stuff_regions[0], config.stuff_regions[1] + 1))
    kinds = sorted(int(kind) for kind in rng.permutation(len(STUFF_CLASSES))[:count])
    stuff = np.full((size, size), kinds[0], np.uint8)
    rows = np.arange(size)[:, None]
    slope = int(rng.integers(-size // 6, size // 6 + 1))
    tilt = (np.arange(size) - size // 2) * slope // size
    for band, kind in enumerate(kinds[1:], start=1):
        height = round(size * (band / count + rng.uniform(-0.12, 0.12)))
        waves = value_noise(size, (1, 4), rng)[0, 0] * (size // 12) // 128
        stuff[rows >= height + tilt + waves] = kind
    return stuff


def _add_object(scene: Scene, config: SceneConfig, rng: np.random.Generator) -> None:
    """Paints one more object where it and the others stay visible enough, or gives up."""
    size = len(scene.image)
    kind = int(rng.integers(len(THING_CLASSES)))
    tiny = rng.random() < config.tiny_fraction
    diameter = size * rng.uniform(*(config.tiny_diameter if tiny else config.diameter))
    for _ in range(config.attempts):
        outline = make_outline(THING_CLASSES[kind], diameter, rng)
        center = _place(config, size, diameter, rng)
        alpha, full_area = rasterize(outline, center, size)
        if rng.random() < config.soft_fraction:
            alpha = soften(alpha, 2 * (round(diameter * rng.uniform(*config.softness)) // 2) + 1)
        if _fits(scene, config, alpha, full_area):
            break
    else:
        return
    color = thing_texture(_contrasting(scene, config, kind, alpha, rng), size, center, diameter, rng)
    _paint(scene, SceneObject(kind, alpha, color, full_area))


def _place(config: SceneConfig, size: int, diameter: float, rng: np.random.Generator) -> tuple[float, float]:
    """Center (x, y): anywhere inside, or with one coordinate at a border."""
    margin = min(diameter / 2, size / 2)
    point = [rng.uniform(margin, size - margin), rng.uniform(margin, size - margin)]
    if rng.random() < config.border_fraction:
        depth = diameter * rng.uniform(0.05, 0.45)
        point[int(rng.integers(2))] = depth if rng.random() < 0.5 else size - depth
    return point[0], point[1]


def _fits(scene: Scene, config: SceneConfig, alpha: np.ndarray, full_area: int) -> bool:
    """Returns True if the object and all objects that it covers keep enough visible pixels."""
    covered = alpha >= 128

    def enough(left: int, whole: int) -> bool:
        return left >= max(config.min_area, config.min_visible * whole)

    left = np.bincount(scene.owner[~covered], minlength=len(scene.objects) + 1)[1:]
    return enough(int(covered.sum()), full_area) and all(
        enough(int(area), item.full_area) for area, item in zip(left, scene.objects, strict=True)
    )


def _contrasting(
    scene: Scene, config: SceneConfig, kind: int, alpha: np.ndarray, rng: np.random.Generator
) -> tuple[int, int, int]:
    """A color of the class's hues, far enough from the mean of what it covers, or the farthest of a few."""
    below = scene.image[alpha >= 128].astype(np.int64)
    mean = below.sum(axis=0) // max(1, len(below))
    best, best_distance = (0, 0, 0), -1
    for _ in range(_COLOR_DRAWS):
        color = vivid_color(rng, kind / len(THING_CLASSES), config.hue_spread)
        distance = int(np.abs(mean - color).sum())
        if distance > best_distance:
            best, best_distance = color, distance
        if best_distance >= config.contrast:
            break
    return best


def _paint(scene: Scene, item: SceneObject) -> None:
    alpha = item.alpha.astype(np.int32)
    for other in scene.objects:
        other.alpha = ((other.alpha * (255 - alpha) + 127) // 255).astype(np.uint8)
    weight = alpha[..., None]
    scene.image = ((scene.image * (255 - weight) + item.color * weight + 127) // 255).astype(np.uint8)
    scene.objects.append(item)
    scene.owner[item.alpha >= 128] = len(scene.objects)
