"""Weights that a fine-tuning starts anew, such as the last category layer (FreeSOLO, section 6.2.1)."""

from collections.abc import Sequence

import torch

from solo_d2.utils.errors import InputError


class FreshWeights:
    """Remembers initial weights, to put them back after others have been loaded."""

    def __init__(self, model: torch.nn.Module, prefixes: Sequence[str]):
        """
        Args:
            model: With its initial weights.
            prefixes: Beginnings of the names of what starts anew.

        Raises:
            InputError: If no weight's name begins with one of them.
        """
        self._model = model
        weights = model.state_dict()
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in weights):
                raise InputError(f"MODEL.FRESH_WEIGHTS: no weight's name begins with {prefix}")
        self._weights = {
            name: value.clone() for name, value in weights.items() if name.startswith(tuple(prefixes))
        }

    def restore(self) -> None:
        """Puts the initial weights back."""
        self._model.load_state_dict(self._weights, strict=False)
