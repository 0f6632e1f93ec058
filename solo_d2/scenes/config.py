"""Classes and distributions of the built-in scenes."""

from dataclasses import dataclass

from solo_d2.utils.errors import InputError

THING_CLASSES = ("disc", "square", "triangle", "star", "ring")
STUFF_CLASSES = ("sky", "grass", "water", "sand")
SPLITS = ("train", "val")
# Annotation ids and panoptic colors leave room for this many objects in an image.
MAX_OBJECTS = 20


@dataclass(frozen=True)
class SceneConfig:
    """The distributions of the scenes.

    Lengths are fractions of the image side, so that the same scenes appear at every ``size``; the
    numbers in brackets are pixels at the default 128.

    Attributes:
        objects: Minimum and maximum number of objects in an image that is not empty, uniform.
        empty_fraction: Probability of an image without any object.
        diameter: Longer side of an ordinary object's box, uniform [19..77 px].
        tiny_diameter: The same for tiny objects [8..12 px].
        tiny_fraction: Probability that an object is tiny.
        border_fraction: Probability that an object is placed across an image border.
        min_visible: Minimum visible fraction of an object's area after occlusion and cropping.
        min_area: Minimum visible pixels of an object.
        attempts: Maximum number of attempts to place an object.
        soft_fraction: Probability of a soft (defocused) edge.
        softness: Width of a soft edge as a fraction of the object's diameter.
        hue_spread: How far a color's hue may lie from its class's, in turns of the color circle; classes
            are 0.2 turns apart, so that above 0.1 their colors overlap.
        contrast: Least color distance (sum of absolute 8-bit channel differences) between an
            object and what it covers, where a few draws can reach it.
        stuff_regions: Minimum and maximum number of stuff regions in an image.
        pixel_noise: Amplitude of the uniform noise on the final image, in 8-bit steps.
    """

    objects: tuple[int, int] = (1, 5)
    empty_fraction: float = 0.04
    diameter: tuple[float, float] = (0.15, 0.6)
    tiny_diameter: tuple[float, float] = (0.0625, 0.094)
    tiny_fraction: float = 0.06
    border_fraction: float = 0.12
    min_visible: float = 0.55
    min_area: int = 20
    attempts: int = 12
    soft_fraction: float = 0.3
    softness: tuple[float, float] = (0.03, 0.09)
    hue_spread: float = 0.12
    contrast: int = 160
    stuff_regions: tuple[int, int] = (1, 3)
    pixel_noise: int = 4

    def __post_init__(self):
        if not 0 <= self.objects[0] <= self.objects[1] <= MAX_OBJECTS:
            raise InputError(f"SceneConfig.objects {self.objects} must rise within 0..{MAX_OBJECTS}")
