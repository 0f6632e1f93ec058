"""What every backbone promises."""

from abc import ABCMeta, abstractmethod

from torch import nn

from detectron2.layers import ShapeSpec

__all__ = ["Backbone"]


class Backbone(nn.Module, metaclass=ABCMeta):
    """Maps a batch of images to a dict of named feature maps.

    Subclasses set ``_out_features`` (names of the outputs), ``_out_feature_channels`` and
    ``_out_feature_strides`` (dicts by name), or override ``output_shape``.
    """

    def __init__(self):
        super().__init__()

    @abstractmethod
    def forward(self):
        """Takes the images, (N, C, H, W), and returns dict[str, Tensor]."""

    @property
    def size_divisibility(self) -> int:
        """Heights and widths of inputs have to be multiples of it; 0 = any size."""
        return 0

    @property
    def padding_constraints(self) -> dict[str, int]:
        """What ``ImageList.from_tensors`` takes as its ``padding_constraints``."""
        return {}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Returns channels and stride of every output, by name."""
        return {
            name: ShapeSpec(channels=self._out_feature_channels[name], stride=self._out_feature_strides[name])
            for name in self._out_features
        }
