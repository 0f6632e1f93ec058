"""Opens a checkpoint's wrapping around the weights: nested dictionaries, prefixes, averages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from solo_d2.utils.errors import InputError, printable

# Keys under which frameworks keep the weights, in order of preference. If a framework averages weights, its
# published files already hold the average there.
_HOLDERS = ("model", "state_dict", "model_state", "model_state_dict", "blobs")
_DEEPEST = 8
_AVERAGES = ("ema_state_dict", "model_ema", "state_dict_ema")
_LONGEST = 500  # characters of a weight's name
_SHOWN = 80
_PREFIXES = ("module.", "model.", "net.")
# torch.compile puts this where the compiled module is: before all names or inside some.
_COMPILED = re.compile(r"(?<![^.])_orig_mod\.")


@dataclass(frozen=True)
class Envelope:
    """An opened checkpoint.

    Attributes:
        weights: Tensors by name, without common prefixes.
        rest: The checkpoint's other entries.
        notes: What was removed, one sentence each.
    """

    weights: dict[str, Tensor]
    rest: dict = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def open_envelope(checkpoint: Mapping, path: str = "the file") -> Envelope:
    """Finds the weights in a checkpoint.

    Args:
        checkpoint: The content of a weight file.
        path: Its path, for messages.

    Raises:
        InputError: If the checkpoint has no weights.
    """
    rest: dict = {}
    weights, notes = checkpoint, []
    for _ in range(_DEEPEST):
        holder = next((key for key in _HOLDERS if isinstance(weights.get(key), Mapping)), None)
        if holder is None:
            break
        rest |= {key: value for key, value in weights.items() if key != holder}
        weights = weights[holder]
    averages = [key for key in _AVERAGES if rest.pop(key, None) is not None]
    if averages:
        notes.append(f"{averages[0]} is not used: the weights next to it are")
    tensors = {
        name: _tensor(value)
        for name, value in weights.items()
        if isinstance(name, str) and isinstance(value, Tensor | np.ndarray)
    }
    tensors = _without_prefixes(tensors)
    copies = [name for name in tensors if name.startswith("ema_")]
    if copies:
        notes.append(f"{len(copies)} moving averages (ema_...) are not used: the weights next to them are")
    kept = {name: value for name, value in tensors.items() if not name.startswith("ema_")}
    if not kept:
        raise InputError(f"{path} is not a checkpoint: it holds no dictionary of weights")
    return Envelope(kept, rest, tuple(notes))


def require_usable(weights: Mapping[str, Tensor], path: str) -> None:
    """Checks that a model can have such weights.

    Args:
        weights: Tensors by name.
        path: The file's path, for messages.

    Raises:
        InputError: A weight is a meta, quantized, sparse, nested or complex tensor, is not finite, or has no
            parameter's name.
    """
    for name, value in weights.items():
        if wrong := _what_is_wrong(name, value):
            raise InputError(f"{path} is no usable checkpoint: its weight {printable(name[:_SHOWN])} {wrong}")


def _what_is_wrong(name: str, value: Tensor) -> str:
    """Returns why a model cannot have such a weight; "" if it can."""
    if len(name) > _LONGEST or not name.isprintable():
        return "has no parameter's name"
    if value.is_meta:
        return "has no numbers (a meta tensor): save the model after its weights are loaded"
    if value.is_quantized:
        return "is quantized: save the model before quantization, or call dequantize()"
    if value.layout != torch.strided or value.is_nested:
        return "is sparse or nested: save it as a plain tensor, with to_dense()"
    if value.is_complex():
        return "has complex numbers: this project's models have real ones"
    try:  # float8 has no isfinite
        finite = (value.float() if value.element_size() == 1 else value).isfinite().all()
    except RuntimeError:
        return f"has numbers of the unknown type {value.dtype}"
    return "" if finite else "has NaN or infinite values: its training diverged, use an earlier checkpoint"


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Strips the prefixes that wrappers such as ``DistributedDataParallel`` add to every name."""
    tensors = {_COMPILED.sub("", name): value for name, value in tensors.items()}
    while prefix := _common_prefix([name for name in tensors if not name.startswith("ema_")]):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _common_prefix(names: list[str]) -> str:
    """Returns the wrapper's prefix that all names have; "" if there is none."""
    return next((p for p in _PREFIXES if names and all(name.startswith(p) for name in names)), "")


def _tensor(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    return torch.from_numpy(np.array(value, value.dtype.newbyteorder("=")))
