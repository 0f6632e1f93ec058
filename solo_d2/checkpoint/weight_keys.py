"""The config keys that explain a weight that does not fit, as methods and backbones declare them."""

import re
from collections.abc import Collection

from detectron2.modeling import META_ARCH_REGISTRY
from solo_d2.modeling.backbones import BACKBONE_WEIGHT_KEYS, BACKBONE_WEIGHT_PARTS
from solo_d2.modeling.meta_architecture import OTHER_WEIGHTS, MetaArchitecture, Shape, WeightKey


class DeclaredWeights:
    """The declarations of a meta-architecture and the backbones about their weights.

    Detectron2's own meta-architectures declare nothing; the backbones' declarations hold for them, too.
    """

    def __init__(self, architecture: type = MetaArchitecture):
        """
        Args:
            architecture: The model's class.
        """
        self._architecture = architecture if issubclass(architecture, MetaArchitecture) else MetaArchitecture
        self._keys = (*self._architecture.all_weight_keys(), *BACKBONE_WEIGHT_KEYS, OTHER_WEIGHTS)
        # A file may come from another method, as a pre-training's does, so the parts of all methods count.
        parts = {f"{part}.": part for part in _declared_parts()} | BACKBONE_WEIGHT_PARTS
        self._parts = sorted(parts.items(), key=lambda item: -len(item[0]))

    def key_of_shape(self, name: str, there: Shape, here: Shape) -> str:
        """Returns the full name of the config key that decides a weight's shape.

        Args:
            name: Name of the weight in this project.
            there: Shape in the file.
            here: Shape in the model.
        """
        shape = self._find(name).shape
        return self._full(shape if isinstance(shape, str) else shape(there, here))

    def keys_of_presence(self, names: Collection[str]) -> list[str]:
        """Returns the distinct config keys that decide whether weights exist.

        A norm that is absent together with its convolution tells nothing about the kind of norm.
        """
        names = [self._architecture.original_of(name) for name in names]
        absent = set(names)
        telling = (
            n for n in names if ".norm." not in n or f"{n.rpartition('.norm.')[0]}.weight" not in absent
        )
        return list(dict.fromkeys(self._full(self._find(name).presence) for name in telling))

    def is_per_class(self, name: str) -> bool:
        """Tells whether a weight has a row for each class."""
        return self._find(name).per_class

    def part_of(self, name: str) -> str:
        """Returns the part of a model that a weight belongs to: "head", "backbone.bottom_up", ..."""
        inner = next((part for beginning, part in self._parts if name.startswith(beginning)), None)
        return inner or name.partition(".")[0]

    def _find(self, name: str) -> WeightKey:
        name = self._architecture.original_of(name)
        return next(key for key in self._keys if re.match(key.pattern, name))

    def _full(self, key: str) -> str:
        return key.replace("{}", f"MODEL.{self._architecture.config_node}")


def _declared_parts() -> set[str]:
    classes = [kind for _, kind in META_ARCH_REGISTRY if isinstance(kind, type)]
    return {part for kind in classes if issubclass(kind, MetaArchitecture) for part in kind.weight_parts}
