"""Axis-aligned boxes, (x0, y0, x1, y1) in absolute floating point pixels."""

from collections.abc import Iterator
from enum import IntEnum, unique

import numpy as np
import torch

_BoxLike = list[float] | tuple[float, ...] | torch.Tensor | np.ndarray


@unique
class BoxMode(IntEnum):
    """How the numbers of a box are to be read."""

    XYXY_ABS = 0  # (x0, y0, x1, y1), pixels
    XYWH_ABS = 1  # (x0, y0, w, h), pixels: the COCO format
    XYXY_REL = 2  # as XYXY_ABS, in fractions of the image's width and height
    XYWH_REL = 3
    XYWHA_ABS = 4  # (x_center, y_center, w, h, angle in degrees, counter-clockwise)

    @staticmethod
    def convert(box: _BoxLike, from_mode: "BoxMode", to_mode: "BoxMode") -> _BoxLike:
        """Converts between ``XYXY_ABS`` and ``XYWH_ABS``.

        Args:
            box: one box of 4 numbers (list or tuple), or an array or tensor of shape (N, 4).
            from_mode: mode of ``box``.
            to_mode: the mode wanted.

        Returns:
            The converted box or boxes, of the type of ``box``; ``box`` itself is not changed.

        Raises:
            NotImplementedError: another pair of modes.
        """
        if from_mode == to_mode:
            return box
        if {from_mode, to_mode} != {BoxMode.XYXY_ABS, BoxMode.XYWH_ABS}:
            raise NotImplementedError(f"Conversion from BoxMode {from_mode} to {to_mode} is not supported.")
        sign = 1 if from_mode == BoxMode.XYWH_ABS else -1
        if isinstance(box, (list, tuple)):
            assert len(box) == 4, "A single box must have 4 numbers for XYXY_ABS or XYWH_ABS."
            x0, y0, x1, y1 = box
            return type(box)((x0, y0, x1 + sign * x0, y1 + sign * y0))
        converted = box.clone() if isinstance(box, torch.Tensor) else box.copy()
        converted[..., 2:] += sign * converted[..., :2]
        return converted


class Boxes:
    """N boxes.

    Attributes:
        tensor (Tensor): (N, 4) float32, (x0, y0, x1, y1) in pixels.
    """

    def __init__(self, tensor: torch.Tensor):
        """
        Args:
            tensor: (N, 4), or anything that ``torch.as_tensor`` takes; an empty one of any shape
                becomes (0, 4).
        """
        tensor = torch.as_tensor(tensor).to(torch.float32)
        if tensor.numel() == 0:
            tensor = tensor.reshape(-1, 4)
        assert tensor.dim() == 2 and tensor.size(-1) == 4, tensor.size()
        self.tensor = tensor

    def clone(self) -> "Boxes":
        return Boxes(self.tensor.clone())

    def to(self, device: torch.device) -> "Boxes":
        return Boxes(self.tensor.to(device=device))

    def area(self) -> torch.Tensor:
        """Returns areas, (N,) float32, square pixels."""
        box = self.tensor
        return (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])

    def clip(self, box_size: tuple[int, int]) -> None:
        """Moves the corners into an image of ``box_size`` (height, width), in place."""
        assert torch.isfinite(self.tensor).all(), "Box tensor contains infinite or NaN!"
        height, width = box_size
        self.tensor = torch.stack(
            [
                self.tensor[:, 0].clamp(min=0, max=width),
                self.tensor[:, 1].clamp(min=0, max=height),
                self.tensor[:, 2].clamp(min=0, max=width),
                self.tensor[:, 3].clamp(min=0, max=height),
            ],
            dim=-1,
        )

    def nonempty(self, threshold: float = 0.0) -> torch.Tensor:
        """Returns (N,) bool: whether width and height are both larger than ``threshold``."""
        sides = self.tensor[:, 2:] - self.tensor[:, :2]
        return (sides > threshold).all(dim=1)

    def __getitem__(self, item) -> "Boxes":
        """Selects by int (one box), slice, or (N,) bool or int64 tensor; always gives Boxes."""
        if isinstance(item, int):
            return Boxes(self.tensor[item].view(1, -1))
        selected = self.tensor[item]
        assert selected.dim() == 2, f"Indexing on Boxes with {item} failed to return a matrix!"
        return Boxes(selected)

    def __len__(self) -> int:
        return self.tensor.shape[0]

    def __repr__(self) -> str:
        return f"Boxes({self.tensor})"

    def inside_box(self, box_size: tuple[int, int], boundary_threshold: int = 0) -> torch.Tensor:
        """Returns (N,) bool: inside an image of (height, width), widened by the threshold."""
        height, width = box_size
        return (
            (self.tensor[..., 0] >= -boundary_threshold)
            & (self.tensor[..., 1] >= -boundary_threshold)
            & (self.tensor[..., 2] < width + boundary_threshold)
            & (self.tensor[..., 3] < height + boundary_threshold)
        )

    def get_centers(self) -> torch.Tensor:
        """Returns centres, (N, 2) float32, (x, y) in pixels."""
        return (self.tensor[:, :2] + self.tensor[:, 2:]) / 2

    def scale(self, scale_x: float, scale_y: float) -> None:
        """Multiplies x and y coordinates, in place."""
        self.tensor[:, 0::2] *= scale_x
        self.tensor[:, 1::2] *= scale_y

    @classmethod
    def cat(cls, boxes_list: list["Boxes"]) -> "Boxes":
        assert isinstance(boxes_list, (list, tuple))
        if not boxes_list:
            return cls(torch.empty(0))
        assert all(isinstance(boxes, Boxes) for boxes in boxes_list)
        return cls(torch.cat([boxes.tensor for boxes in boxes_list], dim=0))

    @property
    def device(self) -> torch.device:
        return self.tensor.device

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yields each box as a (4,) tensor."""
        yield from self.tensor


def pairwise_iou(boxes1: Boxes, boxes2: Boxes) -> torch.Tensor:
    """Intersection over union of every pair.

    Args:
        boxes1: N boxes.
        boxes2: M boxes.

    Returns:
        Tensor: (N, M) float32 in [0, 1]; 0 where boxes do not meet.
    """
    first, second = boxes1.tensor, boxes2.tensor
    low = torch.max(first[:, None, :2], second[:, :2])
    high = torch.min(first[:, None, 2:], second[:, 2:])
    inter = (high - low).clamp(min=0).prod(dim=2)
    union = boxes1.area()[:, None] + boxes2.area() - inter
    return torch.where(inter > 0, inter / union, torch.zeros_like(inter))
