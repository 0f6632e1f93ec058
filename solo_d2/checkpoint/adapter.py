"""One foreign format of weights: how to recognize it, how to rename it both ways, what its models expect."""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from .name_rules import NameTable, Rule
from .preprocessing import Preprocessing

# mmcv keeps a deformable convolution's offsets inside it, this project next to it. Those of DCNv2, which
# come with factors, have a different name in old versions.
_OFFSET = re.compile(r"(.+)\.conv\.conv_offset(?:_mask)?\.\w+")


@dataclass(frozen=True)
class PublishedSizes:
    """Sizes of test images that models were published with, by the depth and width of one of their towers.

    Attributes:
        tower: Native name of the tower.
        sizes: Short and long side in pixels, by the tower's (number of convolutions, channels).
    """

    tower: str
    sizes: Mapping[tuple[int, int], tuple[int, int]]

    def find(self, weights: Mapping[str, Tensor]) -> tuple[int, int] | None:
        """Returns the size that native weights of this shape were published with; None if unknown."""
        pattern = re.compile(rf"{re.escape(self.tower)}\.\d+\.(?:conv\.)?weight")
        layers = [value for name, value in weights.items() if pattern.fullmatch(name)]
        return self.sizes.get((len(layers), len(layers[0]))) if layers else None


@dataclass(frozen=True)
class Adapter:
    """The adapter of a format.

    Attributes:
        name: Short name, as on the command line.
        title: Name for reports.
        marks: Beginnings of names; a tuple lists alternatives. A file has the format if each mark occurs.
        rules: Pairs of templates, foreign and native; see :mod:`solo_d2.checkpoint.name_rules`.
        deformable_rules: Rules that replace ``rules`` inside convolution blocks with offsets.
        expendable: Pairs of a pattern and a reason, for foreign entries that no model here uses.
        preprocessing: What the models of this format expect of their input.
        test_sizes: Sizes that they were published with; None for unknown ones.
        whole_model: Whether such files hold a trained model, not only a backbone.
        folded_statistics: Whether norms hold their running statistics in weight and bias.
        lists_of_one: Beginnings of native names of scalars that the format stores as lists of one number.
    """

    name: str
    title: str
    marks: tuple[str | tuple[str, ...], ...]
    rules: tuple[Rule, ...]
    preprocessing: Preprocessing
    deformable_rules: tuple[Rule, ...] = ()
    expendable: tuple[tuple[str, str], ...] = ()
    test_sizes: PublishedSizes | None = None
    whole_model: bool = True
    folded_statistics: bool = False
    lists_of_one: tuple[str, ...] = ()

    def recognizes(self, names: Iterable[str]) -> bool:
        """Tells whether weights of these names have this format."""
        names = list(names)
        return all(any(name.startswith(mark) for name in names) for mark in self.marks)

    def to_native(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames weights; a name that no rule knows stays, so that it can be reported as left over."""
        plain, deformable = _name_table(self.rules), self._all_rules()
        blocks = tuple(f"{found[1]}." for name in weights if (found := _OFFSET.fullmatch(name)))
        renamed = {}
        for name, value in weights.items():
            table = deformable if name.startswith(blocks) else plain
            native = table.to_native(name) or name
            renamed[native] = value.reshape(()) if native.startswith(self.lists_of_one) else value
        return renamed

    def from_native(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Inverts :meth:`to_native`; a name that no rule knows stays."""
        table = self._all_rules()
        return {
            table.from_native(name) or name: value.reshape(1) if name.startswith(self.lists_of_one) else value
            for name, value in weights.items()
        }

    def unknown(self, weights: Iterable[str]) -> list[str]:
        """Returns the foreign names that no rule knows: weights of another method or part."""
        table = self._all_rules()
        return [name for name in weights if table.to_native(name) is None]

    def without_name(self, weights: Iterable[str]) -> list[str]:
        """Returns the native names that have no foreign name: weights of another method or part."""
        table = self._all_rules()
        return [name for name in weights if table.from_native(name) is None]

    def why_expendable(self, name: str) -> str | None:
        """Returns why a foreign entry is not used here; None for a weight."""
        return next((why for pattern, why in self.expendable if re.search(pattern, name)), None)

    def with_test_size(self, weights: Mapping[str, Tensor]) -> Preprocessing:
        """Returns ``preprocessing`` with the test size that such native weights were published with."""
        size = self.test_sizes.find(weights) if self.test_sizes else None
        if size is None:
            return self.preprocessing
        return replace(self.preprocessing, short_side=size[0], long_side=size[1])

    def _all_rules(self) -> NameTable:
        return _name_table((*self.deformable_rules, *self.rules))


@functools.cache
def _name_table(rules: tuple[Rule, ...]) -> NameTable:
    return NameTable(rules)
