"""A weight file of any known layout, in this project's names."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from .adapter import Adapter
from .envelope import open_envelope
from .formats import ADAPTERS, detect
from .preprocessing import Preprocessing
from .resnet import BOTTOM_UP, CAFFE2_RESNET
from .weight_file import read_weight_file

# Further entries of a converted file.
LAYOUT_KEY = "converted_from"
PREPROCESSING_KEY = "preprocessing"
# Where a model keeps a ResNet that has no FPN above it.
_BARE_RESNET = "backbone."


@dataclass(frozen=True)
class NativeWeights:
    """Renamed weights and what is known of their origin.

    Attributes:
        weights: tensors by native name; what no rule knew keeps its foreign name.
        rest: the checkpoint's other entries, such as the optimizer's state.
        layout: the foreign layout; None for this project's own or an unknown one.
        preprocessing: what the weights expect of their input.
        notes: what was set aside on the way, in plain words.
        left_over: names that no rule of the layout knows; where nothing says that the names are this
            project's, those that not even the nearest layout has a name for.
    """

    weights: dict[str, Tensor]
    rest: dict
    layout: Adapter | None
    preprocessing: Preprocessing
    notes: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()

    @property
    def whole_model(self) -> bool:
        """Whether it is a trained model, not only a backbone."""
        if self.layout is None:
            return any(not name.startswith("backbone.") for name in self.weights)
        return self.layout.whole_model

    @property
    def folded_statistics(self) -> bool:
        """Whether norms hold their running statistics in weight and bias."""
        return self.layout is CAFFE2_RESNET

    @property
    def heuristics(self) -> bool:
        """Whether Detectron2 has to match the names by their ends, as the file asks for."""
        return self.layout is None and bool(self.rest.get("matching_heuristics"))

    def placed_in(self, names: Collection[str]) -> "NativeWeights":
        """The same with the ResNet's weights named as in a model with these names: with an FPN, or bare."""
        if any(name.startswith(BOTTOM_UP) for name in names):
            return self
        return replace(self, weights={_without_fpn(name): value for name, value in self.weights.items()})


def _without_fpn(name: str) -> str:
    return _BARE_RESNET + name.removeprefix(BOTTOM_UP) if name.startswith(BOTTOM_UP) else name


def read_native(path: str, *, allow_pickle: bool = False) -> NativeWeights:
    """Reads a weight file in any known layout.

    Args:
        path: a file, or an address that Detectron2's PathManager knows.
        allow_pickle: see :func:`read_weight_file`.

    Raises:
        InputError: the file is missing, damaged, no weight file, or would run code.
    """
    return to_native(read_weight_file(path, allow_pickle=allow_pickle), path)


def to_native(checkpoint: Mapping, path: str = "the file") -> NativeWeights:
    """Recognises a checkpoint's layout and renames its weights.

    Args:
        checkpoint: the content of a weight file.
        path: for messages.

    Raises:
        InputError: it holds no weights.
    """
    envelope = open_envelope(checkpoint, path)
    layout = detect(envelope.weights)
    if layout is None:
        return _own(envelope.weights, envelope.rest, envelope.notes)
    kept, reasons = {}, Counter()
    for name, value in envelope.weights.items():
        why = layout.why_expendable(name)
        if why is None:
            kept[name] = value
        else:
            reasons[why] += 1
    left_over = tuple(layout.unknown(kept))
    kept = layout.to_native(kept)
    notes = [f"{count} not used: {why}" for why, count in sorted(reasons.items())]
    return NativeWeights(
        weights=kept,
        rest=envelope.rest,
        layout=layout,
        preprocessing=stored_preprocessing(envelope.rest)
        or layout.with_test_size(kept).as_stated_by(envelope.weights),
        notes=(*envelope.notes, *notes),
        left_over=left_over,
    )


def stored_preprocessing(rest: Mapping) -> Preprocessing | None:
    """What a checkpoint says that its weights expect of images; None where it says nothing."""
    stored = rest.get(PREPROCESSING_KEY)
    return Preprocessing.from_dict(stored) if isinstance(stored, Mapping) else None


def _own(weights: dict[str, Tensor], rest: dict, notes: tuple[str, ...]) -> NativeWeights:
    """Weights in native names; a file that was converted says what it was and expects."""
    stored = stored_preprocessing(rest)
    origin = rest.get(LAYOUT_KEY)
    layout = next((adapter for adapter in ADAPTERS if adapter.name == origin), None)
    left_over = [] if stored else min((a.without_name(weights) for a in ADAPTERS), key=len)
    return NativeWeights(weights, rest, layout, stored or Preprocessing(), notes, tuple(left_over))
