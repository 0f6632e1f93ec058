"""The shape of a feature map."""

from dataclasses import dataclass
from typing import Any


@dataclass
class ShapeSpec:
    """Channels, height and width of a tensor, and its stride in input pixels.

    Each is an int, or None if unknown; consumers know which ones their producer sets.
    """

    channels: Any = None
    height: Any = None
    width: Any = None
    stride: Any = None
