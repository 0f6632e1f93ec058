"""Compares a file's weights with a model's and describes the differences to the user."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from solo_d2.modeling.meta_architecture import OTHER_WEIGHTS, Shape
from solo_d2.utils.errors import InputError

from .weight_keys import DeclaredWeights

_MAX_NAMES_SHOWN = 4
_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")


@dataclass(frozen=True)
class Compatibility:
    """A comparison of names and shapes.

    Attributes:
        declared: The model's declarations of its weights.
        matched: Names with equal shapes.
        missing: Names that only the model has.
        left_over: Names that only the file has.
        misfits: Name -> (shape in the file, shape in the model).
    """

    declared: DeclaredWeights
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    misfits: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Missing weights of parts that the file has."""
        parts = self._parts((*self.matched, *self.misfits))
        return tuple(name for name in self.missing if self.declared.part_of(name) in parts)

    @property
    def superfluous(self) -> tuple[str, ...]:
        """Left-over weights of parts that the model has."""
        parts = self._parts((*self.matched, *self.misfits, *self.missing))
        return tuple(name for name in self.left_over if self.declared.part_of(name) in parts)

    @property
    def absent_parts(self) -> list[str]:
        """Parts of the model that the file does not have at all."""
        incomplete = set(self.incomplete)
        return self._parts(name for name in self.missing if name not in incomplete)

    @property
    def extra_parts(self) -> list[str]:
        """Parts of the file that the model does not have at all."""
        superfluous = set(self.superfluous)
        return self._parts(name for name in self.left_over if name not in superfluous)

    def _parts(self, names: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(map(self.declared.part_of, names)))


def compare(
    weights: Mapping[str, Tensor], model: Mapping[str, Tensor], declared: DeclaredWeights
) -> Compatibility:
    """Compares native weights with a model's state dict; counters of batch normalization are ignored.

    Args:
        weights: Tensors by native name.
        model: The state dict.
        declared: The model's declarations of its weights.
    """
    own = {name: tuple(value.shape) for name, value in model.items()}
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    shared = [name for name in own if name in shapes]
    return Compatibility(
        declared=declared,
        matched=tuple(name for name in shared if shapes[name] == own[name]),
        missing=tuple(n for n in own if n not in shapes and not n.endswith("num_batches_tracked")),
        left_over=tuple(n for n in shapes if n not in own and not n.endswith("num_batches_tracked")),
        misfits={n: (shapes[n], own[n]) for n in shared if shapes[n] != own[n]},
    )


def find_problems(
    found: Compatibility, *, exact: bool, whole_model: bool, folded_statistics: bool
) -> list[str]:
    """Returns the reasons why the weights must not be loaded.

    Weights of one part of a model, such as its head, belong together. A part that the file does not have
    keeps its initial values; half a part is a mistake.

    Args:
        found: The comparison.
        exact: Whether every weight must exist and fit.
        whole_model: Whether the file holds a trained model; a backbone to train from may have more or fewer
            weights than the config's, such as no offsets.
        folded_statistics: Whether weight and bias of norms contain the running statistics.

    Returns:
        One sentence each; empty if the weights fit.
    """
    declared = found.declared
    problems = []
    wrong = {n: s for n, s in found.misfits.items() if exact or not declared.is_per_class(n)}
    if wrong:
        shown = [f"{n} {there} in the file, {here} here" for n, (there, here) in wrong.items()]
        keys = list(dict.fromkeys(declared.key_of_shape(name, *shapes) for name, shapes in wrong.items()))
        count = " (the number of classes differs)" if all(map(declared.is_per_class, wrong)) else ""
        problems.append(f"{_list(shown, '; ')}{count}: change {_list(keys)}")
    missing = [
        name
        for name in (found.missing if exact else found.incomplete)
        if not (folded_statistics and name.endswith(_STATISTICS)) and (whole_model or "_offset." not in name)
    ]
    if missing:
        keys = declared.keys_of_presence(missing)
        total = len(found.matched) + len(found.misfits) + len(found.missing)
        problems.append(
            f"it lacks {len(missing)} of the model's {total} weights ({_list(missing)}): check {_list(keys)}"
        )
    if whole_model and (extra := found.superfluous):
        keys = declared.keys_of_presence(extra)
        problems.append(f"the model has no place for {len(extra)} ({_list(extra)}): check {_list(keys)}")
    return problems


def find_remarks(found: Compatibility, *, folded_statistics: bool) -> list[str]:
    """Returns remarks on missing or left-over weights of a file that may be loaded."""
    remarks = []
    classes: dict[tuple[int, int], list[str]] = {}  # (in the file, in the model) -> weights
    for name, (there, here) in found.misfits.items():
        if found.declared.is_per_class(name):
            classes.setdefault((there[0], here[0]), []).append(name)
    for (old, new), names in classes.items():
        remarks.append(
            f"only re-initializing {' and '.join(names)}: the file has {old} classes, the model {new}"
        )
    if folded_statistics and any(name.endswith(_STATISTICS) for name in found.missing):
        remarks.append("it has no running statistics: the norms of this format contain them already")
    if absent := found.absent_parts:
        remarks.append(f"it has no {', '.join(absent)}: the model keeps its initial values there")
    offsets = [name for name in found.incomplete if "_offset." in name]
    if offsets:
        remarks.append(f"it has no offsets of deformable convolutions: {len(offsets)} start from zero")
    if extra := found.extra_parts:
        remarks.append(f"the model has no {', '.join(extra)}: those weights are not used")
    if unused := found.superfluous:
        remarks.append(f"{len(unused)} weights are not used: {_list(unused)}")
    return remarks


def require_overlap(found: Compatibility, path: str, known_formats: str) -> None:
    """Raises ``InputError`` if the model has none of the weights.

    Args:
        found: The comparison.
        path: File, for the message.
        known_formats: Supported formats, for the message.
    """
    if found.matched or found.misfits:
        return
    raise InputError(
        f"{path} was made for another model: none of its {len(found.left_over)} weights has the name of one "
        f"of this model's {len(found.missing)}. Check {OTHER_WEIGHTS.presence} and the file; formats that "
        f"are recognized: {known_formats}."
    )


def _list(items: Iterable[str], separator: str = ", ") -> str:
    items = list(items)
    shown = separator.join(items[:_MAX_NAMES_SHOWN])
    more = len(items) - _MAX_NAMES_SHOWN
    return f"{shown}{separator}{more} more" if more > 0 else shown
