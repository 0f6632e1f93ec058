"""The interface of every backbone."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import nn

from detectron2.layers import ShapeSpec


@abstractmethod  # type: ignore[misc]
def _forward(self: Any) -> Any:
    """Maps images, (N, C, H, W), to dict[str, Tensor]."""


class Backbone(nn.Module, metaclass=ABCMeta):
    """Maps a batch of images to a dict of named feature maps.

    Subclasses set ``_out_features`` (names of the outputs), ``_out_feature_channels`` and
    ``_out_feature_strides`` (dicts by name), or override ``output_shape``.
    """

    _out_features: list[str]
    _out_feature_channels: dict[str, int]
    _out_feature_strides: dict[str, int]
    forward: Callable[..., Any] = _forward  # typed as such because subclasses differ in their arguments

    def __init__(self) -> None:
        super().__init__()

    @property
    def size_divisibility(self) -> int:
        """Divisor of the heights and widths of inputs; 0 means any size."""
        return 0

    @property
    def padding_constraints(self) -> dict[str, int]:
        """The ``padding_constraints`` for ``ImageList.from_tensors``."""
        return {}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Returns channels and stride of every output, by name."""
        return {
            name: ShapeSpec(channels=self._out_feature_channels[name], stride=self._out_feature_strides[name])
            for name in self._out_features
        }
