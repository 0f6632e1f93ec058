"""A convolution that carries its normalisation and activation, and a cheap ``cat``."""

import torch


def cat(tensors: list[torch.Tensor], dim: int = 0) -> torch.Tensor:
    """``torch.cat`` that returns the tensor itself, uncopied, when there is only one."""
    assert isinstance(tensors, (list, tuple))
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)


class Conv2d(torch.nn.Conv2d):
    """``torch.nn.Conv2d`` followed by an optional normalisation and activation."""

    def __init__(self, *args, **kwargs):
        """Takes the arguments of ``torch.nn.Conv2d`` and two more by keyword.

        Args:
            norm (nn.Module, optional): a normalisation layer, parameter names ``norm.*``.
            activation (callable, optional): a function of the output.
        """
        norm = kwargs.pop("norm", None)
        activation = kwargs.pop("activation", None)
        super().__init__(*args, **kwargs)
        self.norm = norm
        self.activation = activation

    def forward(self, x):
        x = super().forward(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        return x
