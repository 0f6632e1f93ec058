"""A batch of images of different sizes in one padded tensor."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F


class ImageList:
    """Padded images and their sizes before padding.

    Attributes:
        tensor: (N, H, W) or (N, C, ..., H, W).
        image_sizes: (height, width) of every image without padding.
    """

    def __init__(self, tensor: torch.Tensor, image_sizes: list[tuple[int, int]]):
        self.tensor = tensor
        self.image_sizes = image_sizes

    def __len__(self) -> int:
        return len(self.image_sizes)

    def __getitem__(self, idx: int) -> torch.Tensor:
        """Returns image ``idx`` without its padding."""
        height, width = self.image_sizes[idx]
        return self.tensor[idx, ..., :height, :width]

    def to(self, *args: Any, **kwargs: Any) -> "ImageList":
        return ImageList(self.tensor.to(*args, **kwargs), self.image_sizes)

    @property
    def device(self) -> torch.device:
        return self.tensor.device

    @staticmethod
    def from_tensors(
        tensors: list[torch.Tensor],
        size_divisibility: int = 0,
        pad_value: float = 0.0,
        padding_constraints: dict[str, int] | None = None,
    ) -> "ImageList":
        """Pads images at the right and the bottom to a common size.

        Args:
            tensors: Images (H_i, W_i) or (C, ..., H_i, W_i) that differ only in the last two axes.
            size_divisibility: Divisor of the common height and width; 0 or 1 means any size.
            pad_value: Value of the padding.
            padding_constraints: "size_divisibility" overrides the argument above; "square_size" > 0
                is the common height and width, whatever the images' sizes.
        """
        assert isinstance(tensors, Sequence) and len(tensors) > 0
        assert all(image.shape[:-2] == tensors[0].shape[:-2] for image in tensors)
        image_sizes = [(image.shape[-2], image.shape[-1]) for image in tensors]
        height = max(size[0] for size in image_sizes)
        width = max(size[1] for size in image_sizes)
        constraints = padding_constraints or {}
        size_divisibility = constraints.get("size_divisibility", size_divisibility)
        square_size = constraints.get("square_size", 0)
        if square_size > 0:
            height = width = square_size
        if size_divisibility > 1:
            height = -(-height // size_divisibility) * size_divisibility
            width = -(-width // size_divisibility) * size_divisibility
        if len(tensors) == 1:
            pad = [0, width - image_sizes[0][1], 0, height - image_sizes[0][0]]
            batch = F.pad(tensors[0], pad, value=pad_value).unsqueeze(0)
        else:
            shape = (len(tensors), *tensors[0].shape[:-2], height, width)
            batch = tensors[0].new_full(shape, pad_value)
            for padded, image in zip(batch, tensors, strict=True):
                padded[..., : image.shape[-2], : image.shape[-1]].copy_(image)
        return ImageList(batch.contiguous(), image_sizes)
