"""Smaller learning rates for the early layers of a pretrained backbone (BEiT, arXiv:2106.08254)."""

from collections import defaultdict
from collections.abc import Iterable

import torch

from solo_d2.utils.errors import InputError

_BACKBONE = "backbone.bottom_up."


def layer_of(name: str) -> str:
    """Returns the layer of a weight of the backbone: its name up to the first number, else its first part.

    Such as "blocks.3" for "blocks.3.conv.weight", and "stem" for "stem.conv1.weight".
    """
    parts = name.split(".")
    number = next((place for place, part in enumerate(parts) if part.isdigit()), 0)
    return ".".join(parts[: number + 1])


def decay_by_layer(groups: Iterable[dict], model: torch.nn.Module, decay: float) -> list[dict]:
    """Splits an optimizer's parameter groups so that the learning rate decays from the backbone's end.

    Args:
        groups: With "params" and "lr".
        model: The model; layers are ordered as its ``backbone.bottom_up`` registers them.
        decay: Factor from a layer to the one before it, in (0, 1]. The rest of the model keeps its rate.

    Returns:
        The groups, with the factor of each layer in "lr".

    Raises:
        InputError: The factor is out of range, or the model has no such backbone.
    """
    if not 0 < decay <= 1:
        raise InputError(f"SOLVER.LAYER_DECAY {decay}: it must be above 0 and at most 1")
    names = {
        parameter: name.removeprefix(_BACKBONE)
        for name, parameter in model.named_parameters()
        if name.startswith(_BACKBONE)
    }
    if not names:
        raise InputError(f"SOLVER.LAYER_DECAY {decay}: the model has no {_BACKBONE[:-1]}, set it to 1.0")
    layers = list(dict.fromkeys(map(layer_of, names.values())))
    factors = {layer: decay ** (len(layers) - place) for place, layer in enumerate(layers)}
    result = []
    for group in groups:
        split = defaultdict(list)
        for parameter in group["params"]:
            factor = factors[layer_of(names[parameter])] if parameter in names else 1.0
            split[factor].append(parameter)
        result += [{**group, "params": some, "lr": factor * group["lr"]} for factor, some in split.items()]
    return result
