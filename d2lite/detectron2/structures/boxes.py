"""Axis-aligned boxes, (x0, y0, x1, y1) in absolute floating-point pixels."""

from collections.abc import Iterator
from enum import IntEnum, unique
from typing import Any

import torch


@unique
class BoxMode(IntEnum):
    """The meaning of a box's numbers."""

    XYXY_ABS = 0  # (x0, y0, x1, y1), pixels
    XYWH_ABS = 1  # (x0, y0, w, h), pixels: the COCO format
    XYXY_REL = 2  # XYXY_ABS in fractions of the image's width and height
    XYWH_REL = 3
    XYWHA_ABS = 4  # (x_center, y_center, w, h, angle in degrees, counter-clockwise)

    @staticmethod
    def convert(box: Any, from_mode: "BoxMode", to_mode: "BoxMode") -> Any:
        """Converts between ``XYXY_ABS`` and ``XYWH_ABS``.

        Args:
            box: One box of 4 numbers (list or tuple), or an array or tensor of shape (N, 4).
            from_mode: Mode of ``box``.
            to_mode: Mode of the result.

        Returns:
            The converted box or boxes, of the type of ``box``; ``box`` itself is unchanged.

        Raises:
            NotImplementedError: Any other pair of modes.
        """
        if from_mode == to_mode:
            return box
        if {from_mode, to_mode} != {BoxMode.XYXY_ABS, BoxMode.XYWH_ABS}:
            raise NotImplementedError(f"Conversion from BoxMode {from_mode} to {to_mode} is not supported.")
        sign = 1 if from_mode == BoxMode.XYWH_ABS else -1
        if isinstance(box, (list, tuple)):
            assert len(box) == 4, "A single box must have 4 numbers for XYXY_ABS or XYWH_ABS."
            x0, y0, x1, y1 = box
            converted: Any = [x0, y0, x1 + sign * x0, y1 + sign * y0]
            return converted if isinstance(box, list) else tuple(converted)
        converted = box.clone() if isinstance(box, torch.Tensor) else box.copy()
        converted[..., 2:] += sign * converted[..., :2]
        return converted


class Boxes:
    """N boxes.

    Attributes:
        tensor: (N, 4) float32, (x0, y0, x1, y1) in pixels.
    """

    def __init__(self, tensor: Any):
        """
        Args:
            tensor: (N, 4) as a tensor or anything ``torch.as_tensor`` takes; an empty one of any
                shape becomes (0, 4).
        """
        tensor = torch.as_tensor(tensor).to(torch.float32)
        if tensor.numel() == 0:
            tensor = tensor.reshape(-1, 4)
        assert tensor.dim() == 2 and tensor.size(-1) == 4, tensor.size()
        self.tensor = tensor

    def clone(self) -> "Boxes":
        return Boxes(self.tensor.clone())

    def to(self, device: torch.device | str) -> "Boxes":
        return Boxes(self.tensor.to(device=device))

    def area(self) -> torch.Tensor:
        """Returns areas, (N,) float32, square pixels."""
        box = self.tensor
        return (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])

    def clip(self, box_size: tuple[int, int]) -> None:
        """Clamps the corners to an image of ``box_size`` (height, width), in place."""
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
        """Returns (N,) bool, True if width and height both exceed ``threshold``."""
        sides = self.tensor[:, 2:] - self.tensor[:, :2]
        return (sides > threshold).all(dim=1)

    def __getitem__(self, item: int | slice | torch.Tensor) -> "Boxes":
        """Selects by int (one box), slice, or (N,) bool or int64 tensor; the result is Boxes."""
        if isinstance(item, int):
            return Boxes(self.tensor[item].view(1, -1))
        selected = self.tensor[item]
        assert selected.dim() == 2, f"Indexing on Boxes with {item} failed to return a matrix!"
        return Boxes(selected)

    def __len__(self) -> int:
        return self.tensor.shape[0]

    def __repr__(self) -> str:
        return f"Boxes({self.tensor})"

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
    """Returns the IoU of every pair of N and M boxes, (N, M) float32 in [0, 1]."""
    first, second = boxes1.tensor, boxes2.tensor
    low = torch.max(first[:, None, :2], second[:, :2])
    high = torch.min(first[:, None, 2:], second[:, 2:])
    inter = (high - low).clamp(min=0).prod(dim=2)
    union = boxes1.area()[:, None] + boxes2.area() - inter
    return torch.where(inter > 0, inter / union, torch.zeros_like(inter))
