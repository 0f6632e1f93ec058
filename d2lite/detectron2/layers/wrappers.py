"""A convolution with optional normalization and activation, and a cheap ``cat``."""

from typing import Any

import torch


def cat(tensors: list[torch.Tensor], dim: int = 0) -> torch.Tensor:
    """Concatenates tensors; a single tensor is returned itself, without a copy."""
    assert isinstance(tensors, (list, tuple))
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)


class Conv2d(torch.nn.Conv2d):
    """``torch.nn.Conv2d`` followed by an optional normalization and activation."""

    def __init__(self, *args: Any, **kwargs: Any):
        """Takes the arguments of ``torch.nn.Conv2d`` and two more by keyword, ``norm`` and ``activation``.

        Args:
            args: Positional arguments of ``torch.nn.Conv2d``.
            kwargs: Keyword arguments of ``torch.nn.Conv2d``; ``norm``, a module or None, and
                ``activation``, a function or None, apply to the output in this order.
        """
        norm = kwargs.pop("norm", None)
        activation = kwargs.pop("activation", None)
        super().__init__(*args, **kwargs)
        self.norm = norm
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = super().forward(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        return x
