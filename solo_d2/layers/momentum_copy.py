"""A slowly following copy of a module (MoCo's key encoder, https://arxiv.org/abs/1911.05722)."""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call


class MomentumCopy(nn.Module):
    """Runs as its source would with parameters averaged over the steps; nothing here gets gradients.

    The copy's tensors are stored under names without dots (``bottom_up/stem/conv1/weight``). Where names are
    matched by their ends (Detectron2's ``matching_heuristics``) a backbone's file therefore matches the
    source alone, not source and copy, which would be an error.
    """

    def __init__(self, source: nn.Module, momentum: float):
        """
        Args:
            source: What is copied. Not kept.
            momentum: Part of the average that a step keeps, in [0, 1].
        """
        super().__init__()
        self.momentum = momentum
        # In a tuple, and therefore no submodule: it has the structure, this module has the tensors.
        self._structure = (copy.deepcopy(source).to("meta").train(),)
        for name, value in source.named_parameters():
            self.register_parameter(_store_name(name), nn.Parameter(value.detach().clone(), False))
        for name, value in source.named_buffers():
            self.register_buffer(_store_name(name), value.clone())

    @torch.no_grad()
    def forward(self, *args, **kwargs):
        """Runs the copy in training mode: batch normalisation takes its statistics from the batch."""
        structure = self._structure[0]
        names = [name for name, _ in [*structure.named_parameters(), *structure.named_buffers()]]
        tensors = {name: getattr(self, _store_name(name)) for name in names}
        return functional_call(structure, tensors, args, kwargs)

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Moves the parameters towards the source's; statistics in buffers are the copy's own."""
        averages, current = self._pairs(source.named_parameters())
        torch._foreach_lerp_(averages, current, 1 - self.momentum)

    @torch.no_grad()
    def restart(self, source: nn.Module) -> None:
        """Makes parameters and buffers equal to the source's."""
        torch._foreach_copy_(*self._pairs([*source.named_parameters(), *source.named_buffers()]))

    def _pairs(self, named: list[tuple[str, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
        named = list(named)
        return [getattr(self, _store_name(name)) for name, _ in named], [value for _, value in named]


def _store_name(name: str) -> str:
    return name.replace(".", "/")
