"""Reads a weight file of any supported format under this project's names."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from .adapter import Adapter
from .envelope import open_envelope, require_usable
from .formats import ADAPTERS, detect
from .model_card import ModelCard
from .preprocessing import Preprocessing
from .resnet import BOTTOM_UP
from .weight_file import read_weight_file

# Additional entries of a converted file.
FORMAT_KEY = "converted_from"
PREPROCESSING_KEY = "preprocessing"
# Prefix of a ResNet without an FPN above it.
_BARE_RESNET = "backbone."


@dataclass(frozen=True)
class NativeWeights:
    """Renamed weights and information on their origin.

    Attributes:
        weights: Tensors by native name; a weight without a rule keeps its foreign name.
        rest: The checkpoint's other entries, such as the optimizer's state.
        format: The foreign format; None for this project's own or an unknown format.
        preprocessing: Preprocessing that the weights expect.
        notes: Remarks on dropped entries and on the model, one sentence each.
        foreign_names: Names of the weights in the foreign format; none without a format.
    """

    weights: dict[str, Tensor]
    rest: dict
    format: Adapter | None
    preprocessing: Preprocessing
    notes: tuple[str, ...] = ()
    foreign_names: tuple[str, ...] = ()

    @property
    def card(self) -> ModelCard:
        """The model's classes and origin, as far as the file states them."""
        return ModelCard.stored_in(self.rest)

    @property
    def whole_model(self) -> bool:
        """True for a trained model, not only a backbone."""
        if self.format is None:
            return any(not name.startswith("backbone.") for name in self.weights)
        return self.format.whole_model

    @property
    def folded_statistics(self) -> bool:
        """True if weight and bias of norms contain the running statistics."""
        return self.format is not None and self.format.folded_statistics

    @property
    def left_over(self) -> tuple[str, ...]:
        """Names without a rule in the format, or without a counterpart in the nearest if it is unknown."""
        if self.format is not None and self.foreign_names:
            return tuple(self.format.unknown(self.foreign_names))
        if stored_preprocessing(self.rest):
            return ()
        nearest = min((adapter.without_name(self.weights) for adapter in ADAPTERS), key=len)
        return tuple(nearest)

    @property
    def heuristics(self) -> bool:
        """True if the file asks Detectron2 to match names by their ends."""
        return self.format is None and self.rest.get("matching_heuristics") is True

    def placed_in(self, names: Collection[str]) -> "NativeWeights":
        """Returns a copy with the ResNet's prefix of a model with these names: with or without an FPN."""
        if any(name.startswith(BOTTOM_UP) for name in names):
            return self
        return replace(self, weights={_without_fpn(name): value for name, value in self.weights.items()})


def _without_fpn(name: str) -> str:
    return _BARE_RESNET + name.removeprefix(BOTTOM_UP) if name.startswith(BOTTOM_UP) else name


def read_native(path: str, *, allow_pickle: bool = False) -> NativeWeights:
    """Reads a weight file of any supported format.

    Args:
        path: A file, or an address that Detectron2's PathManager knows.
        allow_pickle: See :func:`read_weight_file`.

    Raises:
        InputError: If the file is missing, damaged, not a weight file, would run code, or has weights
            that no model can have, such as NaN.
    """
    native = to_native(read_weight_file(path, allow_pickle=allow_pickle), path)
    require_usable(native.weights, path)
    return native


def to_native(checkpoint: Mapping, path: str = "the file") -> NativeWeights:
    """Recognizes a checkpoint's format and renames its weights.

    Args:
        checkpoint: The content of a weight file.
        path: Its path, for messages.

    Raises:
        InputError: If it has no weights.
    """
    envelope = open_envelope(checkpoint, path)
    source = detect(envelope.weights)
    if source is None:
        return _own(envelope.weights, envelope.rest, envelope.notes)
    kept: dict[str, Tensor] = {}
    reasons: Counter[str] = Counter()
    for name, value in envelope.weights.items():
        why = source.why_expendable(name)
        if why is None:
            kept[name] = value
        else:
            reasons[why] += 1
    renamed = source.to_native(kept)
    notes = [f"{count} not used: {why}" for why, count in sorted(reasons.items())]
    return NativeWeights(
        weights=renamed,
        rest=envelope.rest,
        format=source,
        preprocessing=stored_preprocessing(envelope.rest)
        or source.with_test_size(renamed).as_stated_by(envelope.weights),
        notes=(*envelope.notes, *notes),
        foreign_names=tuple(kept),
    )


def stored_preprocessing(rest: Mapping) -> Preprocessing | None:
    """Returns the preprocessing that a checkpoint states for its weights; None if it states none."""
    stored = rest.get(PREPROCESSING_KEY)
    return Preprocessing.from_dict(stored) if isinstance(stored, Mapping) else None


def _own(weights: dict[str, Tensor], rest: dict, notes: tuple[str, ...]) -> NativeWeights:
    """Returns weights with native names; a converted file states its origin and preprocessing."""
    stored = stored_preprocessing(rest)
    name = rest.get(FORMAT_KEY)
    source = next((a for a in ADAPTERS if isinstance(name, str) and a.name == name), None)
    summary = ModelCard.stored_in(rest).summary()
    notes = (*notes, summary) if summary else notes
    return NativeWeights(weights, rest, source, stored or Preprocessing(), notes)
