"""The preprocessing that weights expect, which foreign checkpoints do not store."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

# Values of the same mean differ at most by rounding: 57.12 and 57.120, 0.485 * 255 and 123.675.
_TOLERANCE = 0.01
_MOST_CHANNELS = 8
# Field names in checkpoints of earlier versions.
_OLD_NAMES = {"usual_for_layout": "usual_for_format"}


@dataclass(frozen=True)
class Preprocessing:
    """Input conventions; None means "unknown" or "does not matter".

    Attributes:
        channels: Order of the color channels, "RGB" or "BGR".
        mean: Mean per channel, in that order, subtracted from values 0 to 255.
        std: Standard deviation per channel, the divisor afterwards.
        stride_in_1x1: Whether a bottleneck halves the resolution in its first 1x1 convolution.
        short_side: Short side of the resized test image, in pixels.
        long_side: Upper bound of its long side.
        usual_for_format: True if only the names of the weights tell: it holds for most models with such
            names, but not for all.
    """

    channels: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    stride_in_1x1: bool | None = None
    short_side: int | None = None
    long_side: int | None = None
    usual_for_format: bool | None = None

    def as_stated_by(self, weights: Mapping[str, Tensor]) -> "Preprocessing":
        """Returns a copy with the mean and std that a checkpoint stores (``pixel_mean``, ``pixel_std``).

        Photographs are brightest in red and darkest in blue, so the mean tells the order of channels.

        Args:
            weights: Tensors by foreign name.
        """
        stated = {
            key: tuple(round(value, 3) for value in weights[f"pixel_{key}"].flatten().tolist())
            for key in ("mean", "std")
            if _is_per_channel(weights.get(f"pixel_{key}"))
        }
        stating = replace(self, mean=stated.get("mean", self.mean), std=stated.get("std", self.std))
        mean = stated.get("mean")
        if mean is None:
            return replace(stating, usual_for_format=True)
        if mean[0] == mean[-1]:
            return stating
        return replace(stating, channels="RGB" if mean[0] > mean[-1] else "BGR")

    def differences(self, config: "Preprocessing", keys: Mapping[str, str] | None = None) -> list[str]:
        """Returns the changes that make a config preprocess images as these weights expect.

        Args:
            config: The config's preprocessing.
            keys: Config key of each field, for messages; by default the field's own name.

        Returns:
            One "KEY is ..., these weights want ..." for each difference, or "usual for this format is ...".
            Sizes are not included; see :meth:`size_difference`.
        """
        want = "usual for this format is" if self.usual_for_format else "these weights want"
        return [
            f"{_key(name, keys)} is {_shown(there)}, {want} {_shown(here)}"
            for name in ("channels", "mean", "std", "stride_in_1x1")
            if _differ(here := getattr(self, name), there := getattr(config, name))
        ]

    def size_difference(self, config: "Preprocessing", keys: Mapping[str, str] | None = None) -> str:
        """Describes how the test size differs from that of the weights' results; "" if equal or unknown.

        Args:
            config: The config's preprocessing.
            keys: Config key of each field, for messages; by default the field's own name.
        """
        here, there = ((one.short_side, one.long_side) for one in (self, config))
        if None in here or None in there or here == there:
            return ""
        short, long = (_key(name, keys) for name in ("short_side", "long_side"))
        return (
            f"{short} and {long} are {there[0]} and {there[1]}; the known "
            f"results of these weights were made with {here[0]} and {here[1]}"
        )

    def as_dict(self) -> dict:
        """Returns plain values to store next to weights, without unknown fields."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value is not None
        }

    @classmethod
    def from_dict(cls, stored: Mapping) -> "Preprocessing":
        """Inverts :meth:`as_dict`, also of earlier versions; unknown keys are ignored."""
        known = {field.name for field in fields(cls)}
        named = {_OLD_NAMES.get(key, key): value for key, value in stored.items()}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in named.items()}
        return cls(**{key: value for key, value in values.items() if key in known and _is_sound(key, value)})


def _is_per_channel(value: Tensor | None) -> bool:
    """Tells whether a tensor of a file can be a mean or a std."""
    if value is None or not 0 < value.numel() <= _MOST_CHANNELS:
        return False
    return value.is_cpu and value.layout == torch.strided and value.is_floating_point()


def _is_sound(key: str, value: object) -> bool:
    """Tells whether a field may have a value, which comes from a file."""
    if key == "channels":
        return value in ("RGB", "BGR") if isinstance(value, str) else False
    if key in ("mean", "std"):
        return isinstance(value, tuple) and all(type(one) in (int, float) for one in value)
    return isinstance(value, int)


def _key(name: str, keys: Mapping[str, str] | None) -> str:
    return (keys or {}).get(name, name)


def _differ(one: object, other: object) -> bool:
    if one is None or other is None:
        return False
    if isinstance(one, tuple) and isinstance(other, tuple):
        pairs = zip(one, other, strict=False)
        return len(one) != len(other) or any(abs(a - b) > _TOLERANCE for a, b in pairs)
    return one != other


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


# torchvision's, which the original SOLO, mmdet, FreeSOLO and DenseCL train with.
TORCHVISION = Preprocessing(
    channels="RGB",
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    stride_in_1x1=False,
)
# The original Caffe ResNets', the default of Detectron2 and so of AdelaiDet.
CAFFE = Preprocessing(channels="BGR", mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), stride_in_1x1=True)
