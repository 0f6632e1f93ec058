"""Adapters of foreign weight formats: recognition, renaming in both directions, expected preprocessing."""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from .name_rules import NameTable, Rule
from .preprocessing import Preprocessing

# mmcv keeps a deformable convolution's offsets inside the layer, this project next to it. DCNv2's offsets,
# which include factors, have a different name in old versions.
_OFFSET = re.compile(r"(.+)\.conv\.conv_offset(?:_mask)?\.\w+")


@dataclass(frozen=True)
class PublishedSizes:
    """Test image sizes of published models, by the depth and width of one of their towers.

    Attributes:
        tower: Native name of the tower.
        sizes: Short and long side in pixels, by the tower's (number of convolutions, channels).
    """

    tower: str
    sizes: Mapping[tuple[int, int], tuple[int, int]]

    def find(self, weights: Mapping[str, Tensor]) -> tuple[int, int] | None:
        """Returns the published test size of native weights of this shape; None if unknown."""
        pattern = re.compile(rf"{re.escape(self.tower)}\.\d+\.(?:conv\.)?weight")
        layers = [value for name, value in weights.items() if value.ndim and pattern.fullmatch(name)]
        return self.sizes.get((len(layers), len(layers[0]))) if layers else None


@dataclass(frozen=True)
class Adapter:
    """The adapter of a format.

    Attributes:
        name: Short name, as on the command line.
        title: Name for reports.
        marks: Name prefixes; a tuple lists alternatives. A file has the format if every mark occurs.
        rules: Pairs of templates, foreign and native; see :mod:`solo_d2.checkpoint.name_rules`.
        deformable_rules: Rules that replace ``rules`` inside convolution blocks with offsets.
        expendable: Pairs of a pattern and a reason, for foreign entries that no model uses.
        preprocessing: Preprocessing that the models of this format expect.
        test_sizes: Test sizes of the published models; None if unknown.
        whole_model: Whether files of this format hold a trained model, not only a backbone.
        folded_statistics: Whether weight and bias of norms contain the running statistics.
        lists_of_one: Native name prefixes of scalars that the format stores as lists of one number.
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
        """Returns True if weights of these names have this format."""
        names = list(names)
        return all(any(name.startswith(mark) for name in names) for mark in self.marks)

    def to_native(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames weights; unknown names stay, so that they can be reported as left over."""
        plain, deformable = _name_table(self.rules), self._all_rules()
        blocks = tuple(f"{found[1]}." for name in weights if (found := _OFFSET.fullmatch(name)))
        renamed = {}
        for name, value in weights.items():
            table = deformable if name.startswith(blocks) else plain
            native = table.to_native(name) or name
            is_list = native.startswith(self.lists_of_one) and value.numel() == 1
            renamed[native] = value.reshape(()) if is_list else value
        return renamed

    def from_native(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Inverts :meth:`to_native`; unknown names stay."""
        table = self._all_rules()
        return {
            table.from_native(name) or name: value.reshape(1) if name.startswith(self.lists_of_one) else value
            for name, value in weights.items()
        }

    def unknown(self, weights: Iterable[str]) -> list[str]:
        """Returns the foreign names without a rule: weights of another method or part."""
        table = self._all_rules()
        return [name for name in weights if table.to_native(name) is None]

    def without_name(self, weights: Iterable[str]) -> list[str]:
        """Returns the native names without a foreign name: weights of another method or part."""
        table = self._all_rules()
        return [name for name in weights if table.from_native(name) is None]

    def why_expendable(self, name: str) -> str | None:
        """Returns the reason why a foreign entry is not used; None for a weight."""
        return next((why for pattern, why in self.expendable if re.search(pattern, name)), None)

    def with_test_size(self, weights: Mapping[str, Tensor]) -> Preprocessing:
        """Returns ``preprocessing`` with the published test size of these native weights."""
        size = self.test_sizes.find(weights) if self.test_sizes else None
        if size is None:
            return self.preprocessing
        return replace(self.preprocessing, short_side=size[0], long_side=size[1])

    def _all_rules(self) -> NameTable:
        return _name_table((*self.deformable_rules, *self.rules))


@functools.cache
def _name_table(rules: tuple[Rule, ...]) -> NameTable:
    return NameTable(rules)
