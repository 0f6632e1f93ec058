"""The built-in data: a deterministic generator of COCO-format scenes."""

from .config import SPLITS, STUFF_CLASSES, THING_CLASSES, SceneConfig
from .film import write_film
from .generate import generate_scenes
from .records import panoptic_categories
from .scene import Scene, SceneObject, compose_scene

__all__ = [
    "SPLITS",
    "STUFF_CLASSES",
    "THING_CLASSES",
    "Scene",
    "SceneConfig",
    "SceneObject",
    "compose_scene",
    "generate_scenes",
    "panoptic_categories",
    "write_film",
]
