"""Renames parameters by templates that work in both directions.

A template is a module's name with integer fields in braces: ``layer{s}.{b}.conv{c}``. A field may have a
factor and an offset: ``res{s+1}`` or ``tower.{3*k+1}``.
"""

import re
from collections.abc import Iterable, Sequence

_FIELD = re.compile(r"\{(?:(\d+)\*)?([a-z]+)([+-]\d+)?\}")

Rule = tuple[str, str]


class Template:
    """One side of a rule.

    Examples:
        >>> Template("tower.{3*k+1}").parse("tower.7.weight")
        ({'k': 2}, '.weight')
        >>> Template("res{s+1}.{b}").fill({"s": 1, "b": 0})
        'res2.0'
    """

    def __init__(self, text: str):
        """
        Args:
            text: The template; a field that occurs twice must have the same value.
        """
        self._text = text
        self._fields = {
            name: (int(factor or 1), int(offset or 0)) for factor, name, offset in _FIELD.findall(text)
        }
        parts = _FIELD.split(text)
        self.literal = "".join(parts[::4])
        pattern, seen = "", set()
        for i in range(0, len(parts) - 1, 4):
            field = parts[i + 2]
            pattern += re.escape(parts[i]) + (f"(?P={field})" if field in seen else f"(?P<{field}>\\d+)")
            seen.add(field)
        self._pattern = re.compile(f"{pattern}{re.escape(parts[-1])}(?P<REST>\\..+)?")

    def parse(self, name: str) -> tuple[dict[str, int], str] | None:
        """Reads a parameter's name.

        Returns:
            The fields' values and the rest of the name, such as ".weight"; None if the name does not match.
        """
        match = self._pattern.fullmatch(name)
        if match is None:
            return None
        values = {}
        for field, (factor, offset) in self._fields.items():
            value, remainder = divmod(int(match[field]) - offset, factor)
            if remainder or value < 0:
                return None
            values[field] = value
        return values, match["REST"] or ""

    def fill(self, values: dict[str, int]) -> str:
        """Returns the module's name for these field values."""
        return _FIELD.sub(lambda m: str(int(m[1] or 1) * values[m[2]] + int(m[3] or 0)), self._text)


class NameTable:
    """A set of rules; the matching rule with the longest text translates a name.

    So ``tower.{k}.norm`` precedes ``tower.{k}`` in both directions; of equally long rules the first wins.
    """

    def __init__(self, rules: Iterable[Rule]):
        """
        Args:
            rules: Pairs of templates with the same fields, the foreign template first.
        """
        pairs = [(Template(foreign), Template(native)) for foreign, native in rules]
        self._to_native = _longest_first(pairs)
        self._from_native = _longest_first([(native, foreign) for foreign, native in pairs])

    def to_native(self, name: str) -> str | None:
        """Returns this project's name of a foreign parameter; None without a rule."""
        return _translate(name, self._to_native)

    def from_native(self, name: str) -> str | None:
        """Returns the foreign name of one of this project's parameters; None without a rule."""
        return _translate(name, self._from_native)


def _longest_first(pairs: list[tuple[Template, Template]]) -> list[tuple[Template, Template]]:
    return sorted(pairs, key=lambda pair: -len(pair[0].literal))


def _translate(name: str, rules: Sequence[tuple[Template, Template]]) -> str | None:
    for source, target in rules:
        parsed = source.parse(name)
        if parsed is not None:
            values, rest = parsed
            return target.fill(values) + rest
    return None


def below(rules: Iterable[Rule], foreign: str, native: str) -> tuple[Rule, ...]:
    """Returns the rules with a prefix on each side, such as "backbone."."""
    return tuple((foreign + one, native + other) for one, other in rules)
