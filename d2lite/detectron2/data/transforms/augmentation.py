"""The two-step protocol: an ``Augmentation`` inspects its input and returns a deterministic transform.

The transform then applies to everything else that belongs to the image (masks, boxes, points).
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from fvcore.transforms.transform import Transform, TransformList


class Augmentation:
    """Base class of all augmentations.

    A subclass defines ``get_transform``. Its parameters are named after the attributes of
    ``AugInput`` that it needs, most often only ``image``.
    """

    get_transform: Any

    def _init(self, params: dict[str, Any] | None = None) -> None:
        """Stores a constructor's ``locals()`` as attributes."""
        for name, value in (params or {}).items():
            if name != "self" and not name.startswith("_"):
                setattr(self, name, value)

    def __call__(self, aug_input: "AugInput") -> Transform:
        """Chooses a transform, applies it to the input in place and returns it."""
        transform = self.get_transform(*self._arguments(aug_input))
        if not isinstance(transform, Transform):
            raise TypeError(f"{self}.get_transform must return a Transform, got {transform!r}.")
        aug_input.transform(transform)
        return transform

    def _arguments(self, aug_input: "AugInput") -> list[Any]:
        values = []
        for name in inspect.signature(self.get_transform).parameters:
            if getattr(aug_input, name, None) is None:
                raise AttributeError(
                    f"{type(self).__name__}.get_transform needs '{name}', "
                    f"which the augmentation's input does not have."
                )
            values.append(getattr(aug_input, name))
        return values

    def _rand_range(self, low: float = 1.0, high: float | None = None, size: Any = None) -> Any:
        """Returns uniform random numbers in [low, high), or in [0, low) without ``high``."""
        if high is None:
            low, high = 0, low
        return np.random.uniform(low, high, size or [])

    def __repr__(self) -> str:
        arguments = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if not hasattr(self, name):
                return super().__repr__()
            if getattr(self, name) is not parameter.default:
                arguments.append(f"{name}={getattr(self, name)!r}")
        return f"{type(self).__name__}({', '.join(arguments)})"

    __str__ = __repr__


class _FixedAugmentation(Augmentation):
    """An augmentation that always chooses the same transform."""

    def __init__(self, transform: Transform):
        self._transform = transform

    def get_transform(self) -> Transform:
        return self._transform

    def __repr__(self) -> str:
        return repr(self._transform)

    __str__ = __repr__


def _as_augmentation(aug: Augmentation | Transform) -> Augmentation:
    if isinstance(aug, Augmentation):
        return aug
    if isinstance(aug, Transform):
        return _FixedAugmentation(aug)
    raise TypeError(f"Expected an Augmentation or a Transform, got {aug!r}.")


class AugmentationList(Augmentation):
    """A sequence of augmentations; each sees the output of the one before it.

    Args:
        augs: Augmentations or transforms.
    """

    def __init__(self, augs: Sequence[Augmentation | Transform]):
        self.augs = [_as_augmentation(x) for x in augs]

    def __call__(self, aug_input: "AugInput") -> TransformList:
        return TransformList([aug(aug_input) for aug in self.augs])

    def __repr__(self) -> str:
        return f"AugmentationList[{', '.join(str(x) for x in self.augs)}]"

    __str__ = __repr__


class AugInput:
    """The data that augmentations inspect and change in place.

    Attributes:
        image: (H, W) or (H, W, C), uint8 in [0, 255] or float.
        boxes: None or (N, 4) float, absolute x1, y1, x2, y2.
        sem_seg: None or (H, W) label map.
    """

    def __init__(
        self, image: np.ndarray, *, boxes: np.ndarray | None = None, sem_seg: np.ndarray | None = None
    ):
        assert isinstance(image, np.ndarray), f"The image must be an ndarray, got {type(image)}."
        assert image.ndim in (2, 3), f"The image must be (H, W) or (H, W, C), got {image.shape}."
        self.image = image
        self.boxes: Any = boxes
        self.sem_seg: Any = sem_seg

    def transform(self, tfm: Transform) -> None:
        """Applies a transform to the image, and to boxes and label map if present."""
        self.image = tfm.apply_image(self.image)
        if self.boxes is not None:
            self.boxes = tfm.apply_box(self.boxes)
        if self.sem_seg is not None:
            self.sem_seg = tfm.apply_segmentation(self.sem_seg)
