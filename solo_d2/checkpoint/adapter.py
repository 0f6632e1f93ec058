"""One foreign layout of weights: how to recognise it, rename it both ways, and what its models expect."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from .name_rules import NameTable, Rule
from .preprocessing import Preprocessing

# mmcv keeps a deformable convolution's offsets inside it, this project beside it. Those of DCNv2, which have
# factors with them, had a name of their own.
_OFFSET = re.compile(r"(.+)\.conv\.conv_offset(?:_mask)?\.\w+")


@dataclass(frozen=True)
class Adapter:
    """A layout.

    Attributes:
        name: short name, as the command line writes it.
        title: whose layout it is, for reports.
        marks: beginnings of names, or several of which one is enough; the layout is recognised where a file
            has one of each.
        rules: pairs of templates, foreign and native; see :mod:`solo_d2.checkpoint.name_rules`.
        deformable_rules: instead of ``rules`` inside convolution blocks that have offsets.
        expendable: pairs of a pattern and a reason: foreign entries that no model here has a use for.
        preprocessing: what the models of this layout expect of their input.
        whole_model: whether such files hold a trained model, not only a backbone.
        lists_of_one: beginnings of native names of scalars that the layout keeps as lists of one number.
    """

    name: str
    title: str
    marks: tuple[str | tuple[str, ...], ...]
    rules: tuple[Rule, ...]
    preprocessing: Preprocessing
    deformable_rules: tuple[Rule, ...] = ()
    expendable: tuple[tuple[str, str], ...] = ()
    whole_model: bool = True
    lists_of_one: tuple[str, ...] = ()
    _tables: dict[bool, NameTable] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        tables = {False: NameTable(self.rules), True: NameTable([*self.deformable_rules, *self.rules])}
        object.__setattr__(self, "_tables", tables)

    def recognises(self, names: Iterable[str]) -> bool:
        """Whether weights of these names are in this layout."""
        names = list(names)
        return all(any(name.startswith(mark) for name in names) for mark in self.marks)

    def to_native(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames weights; a name that no rule knows stays, so that it can be reported as left over."""
        blocks = {found[1] for name in weights if (found := _OFFSET.fullmatch(name))}
        renamed = {}
        for name, value in weights.items():
            inside = bool(blocks) and any(name.startswith(f"{block}.") for block in blocks)
            native = self._tables[inside].to_native(name) or name
            renamed[native] = value.reshape(()) if self._is_list_of_one(native) else value
        return renamed

    def from_native(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of :meth:`to_native`; a name that no rule knows stays."""
        table = self._tables[True]
        return {
            table.from_native(name) or name: value.reshape(1) if self._is_list_of_one(name) else value
            for name, value in weights.items()
        }

    def unknown(self, weights: Iterable[str]) -> list[str]:
        """The foreign names that no rule knows: weights of another method or part."""
        return [name for name in weights if self._tables[True].to_native(name) is None]

    def without_name(self, weights: Iterable[str]) -> list[str]:
        """The native names that the layout has no name for: weights of another method or part."""
        return [name for name in weights if self._tables[True].from_native(name) is None]

    def _is_list_of_one(self, native: str) -> bool:
        return native.startswith(self.lists_of_one) if self.lists_of_one else False

    def why_expendable(self, name: str) -> str | None:
        """Why an entry of a file in this layout is of no use here; None for a weight."""
        return next((why for pattern, why in self.expendable if re.search(pattern, name)), None)

    def with_test_size(self, weights: Mapping[str, Tensor]) -> Preprocessing:
        """``preprocessing`` with the test size that native weights of this size were published with.

        The public models have one size for each width and depth of the category branch; others have None.
        """
        if not self.whole_model:
            return self.preprocessing
        return replace(self.preprocessing, **_published_size(weights))


# Convolutions in the category branch, its width -> short and long side of test images (SOLO's and SOLOv2's
# public model lists).
_PUBLISHED_SIZES = {
    (7, 256): (800, 1333),  # SOLO, Decoupled SOLO
    (4, 512): (800, 1333),  # SOLOv2
    (4, 256): (512, 852),  # Decoupled SOLO light
    (3, 256): (512, 852),  # SOLOv2 light 512
    (2, 256): (448, 768),  # SOLOv2 light 448
}


def _published_size(weights: Mapping[str, Tensor]) -> dict[str, int]:
    pattern = re.compile(r"head\.category_tower\.\d+\.(?:conv\.)?weight")
    layers = [value for name, value in weights.items() if pattern.fullmatch(name)]
    size = _PUBLISHED_SIZES.get((len(layers), len(layers[0]))) if layers else None
    return {"short_side": size[0], "long_side": size[1]} if size else {}
