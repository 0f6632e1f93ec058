"""The shape of a feature map as far as a consumer needs it to build itself."""

from dataclasses import dataclass

__all__ = ["ShapeSpec"]


@dataclass
class ShapeSpec:
    """Channels, height and width of a tensor, and its stride in input pixels; None = unknown."""

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    stride: int | None = None
