"""How a file's weights and a model fit together, in plain words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from solo_d2.utils.errors import InputError

from .weight_keys import is_class_layer, key_of_shape, keys_of_presence

_MAX_NAMES_SHOWN = 4
_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")


@dataclass(frozen=True)
class Fit:
    """A comparison of names and shapes.

    Attributes:
        matched: names with equal shapes.
        missing: the model's names that the file lacks.
        left_over: the file's names that the model lacks.
        misfits: name -> (shape in the file, shape in the model).
        misplaced: parts of the model of which the file has some weights, but not all; the same for parts of
            the file.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    misfits: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Missing weights of parts that the file has otherwise."""
        parts = {_part(name) for name in (*self.matched, *self.misfits)}
        return tuple(name for name in self.missing if _part(name) in parts)

    @property
    def superfluous(self) -> tuple[str, ...]:
        """Left-over weights of parts that the model has otherwise."""
        parts = {_part(name) for name in (*self.matched, *self.misfits, *self.missing)}
        return tuple(name for name in self.left_over if _part(name) in parts)


def compare(weights: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> Fit:
    """Compares native weights with a model's state dict; counters of batch normalisation are passed over."""
    own = {name: tuple(value.shape) for name, value in model.items()}
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    shared = [name for name in own if name in shapes]
    return Fit(
        matched=tuple(name for name in shared if shapes[name] == own[name]),
        missing=tuple(n for n in own if n not in shapes and not n.endswith("num_batches_tracked")),
        left_over=tuple(n for n in shapes if n not in own and not n.endswith("num_batches_tracked")),
        misfits={n: (shapes[n], own[n]) for n in shared if shapes[n] != own[n]},
    )


def problems(fit: Fit, *, group: str, exact: bool, whole_model: bool, folded_statistics: bool) -> list[str]:
    """Why the weights may not be loaded.

    Weights of one part of a model, such as its head, come together or not at all: a part that the file lacks
    starts from its initial values, half a part is a mistake.

    Args:
        fit: the comparison.
        group: the meta-architecture's config group, named in remedies.
        exact: every weight has to be there and to fit.
        whole_model: the file holds a trained model; a backbone to train from may have more or fewer weights
            than the config's, such as no offsets.
        folded_statistics: the layout has no running statistics, as its norms' weights contain them.

    Returns:
        One sentence each; empty if all is right.
    """
    found = []
    wrong = {n: s for n, s in fit.misfits.items() if exact or not is_class_layer(n)}
    if wrong:
        shown = [f"{n} {there} in the file, {here} here" for n, (there, here) in wrong.items()]
        keys = _distinct(key_of_shape(name, group, *shapes) for name, shapes in wrong.items())
        count = " (the number of classes differs)" if all(map(is_class_layer, wrong)) else ""
        found.append(f"{_list(shown, '; ')}{count}: change {keys}")
    missing = [
        name
        for name in (fit.missing if exact else fit.incomplete)
        if not (folded_statistics and name.endswith(_STATISTICS)) and (whole_model or "_offset." not in name)
    ]
    if missing:
        keys = _list(keys_of_presence(missing, group))
        total = len(fit.matched) + len(fit.misfits) + len(fit.missing)
        found.append(
            f"it lacks {len(missing)} of the model's {total} weights ({_list(missing)}): check {keys}"
        )
    if whole_model and fit.superfluous:
        keys = _list(keys_of_presence(fit.superfluous, group))
        found.append(
            f"the model has no place for {len(fit.superfluous)} ({_list(fit.superfluous)}): check {keys}"
        )
    return found


def remarks(fit: Fit, *, folded_statistics: bool) -> list[str]:
    """What is missing or left over in weights that may be loaded, and why that is all right."""
    found = []
    dropped: dict[tuple[int, int], list[str]] = {}  # by the numbers of classes in the file and here
    for name, (there, here) in fit.misfits.items():
        if is_class_layer(name):
            dropped.setdefault((there[0], here[0]), []).append(name)
    for (there, here), names in dropped.items():
        found.append(f"{there} classes in the file, {here} here: only {' and '.join(names)} start anew")
    statistics = [n for n in fit.missing if folded_statistics and n.endswith(_STATISTICS)]
    if statistics:
        found.append("it has no running statistics: this layout's norms contain them already")
    absent = _parts(name for name in fit.missing if name not in fit.incomplete)
    if absent:
        found.append(f"it has no {absent}: the model's start from their initial values")
    offsets = [name for name in fit.incomplete if "_offset." in name]
    if offsets:
        found.append(f"it has no offsets of deformable convolutions: {len(offsets)} start from zero")
    extra = _parts(name for name in fit.left_over if name not in fit.superfluous)
    if extra:
        found.append(f"the model has no {extra}: the file's are not used")
    unused = [name for name in fit.superfluous if name not in found]
    if unused:
        found.append(f"{len(unused)} weights are not used: {_list(unused)}")
    return found


def require_overlap(fit: Fit, path: str, known_layouts: str) -> None:
    """Raises ``InputError`` for weights of which the model knows none."""
    if fit.matched or fit.misfits:
        return
    raise InputError(
        f"{path} was made for another model: none of its {len(fit.left_over)} weights has the name of one of "
        f"this model's {len(fit.missing)}. Check MODEL.META_ARCHITECTURE and MODEL.WEIGHTS; layouts that are "
        f"recognised: {known_layouts}."
    )


# Parts of a model inside its first level of names: a pyramid, a pre-training's projection heads and
# FreeSOLO's embedding come and go without the rest.
_INNER_PARTS = ("backbone.bottom_up", "backbone.neck", "head.embedding_predictor")


def _part(name: str) -> str:
    """The part of the model a weight belongs to: "head", "backbone.bottom_up", "backbone.fpn", ..."""
    inner = next((part for part in _INNER_PARTS if name.startswith(f"{part}.")), None)
    first = name.partition(".")[0]
    return inner or ("backbone.fpn" if first == "backbone" else first)


def _parts(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(_part(name) for name in names))


def _distinct(keys: Iterable[str]) -> str:
    return _list(dict.fromkeys(keys))


def _list(items, separator: str = ", ") -> str:
    items = list(items)
    shown = separator.join(items[:_MAX_NAMES_SHOWN])
    return (
        shown if len(items) <= _MAX_NAMES_SHOWN else f"{shown}{separator}{len(items) - _MAX_NAMES_SHOWN} more"
    )
