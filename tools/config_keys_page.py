#!/usr/bin/env python
"""Writes docs/config_keys.md: every config key that this project adds, from the code that adds it.

python tools/config_keys_page.py
python tools/config_keys_page.py --check     # fails where the page is out of date
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.config import get_cfg as get_detectron2_cfg
from solo_d2.config import add_solo_d2_config
from solo_d2.config.loading import flatten
from solo_d2.engine.cli import prepare_parser, run_cli
from solo_d2.utils.atomic_file import write_text
from solo_d2.utils.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "config_keys.md"
INTRODUCTION = """\
<!-- Written by tools/config_keys_page.py; edit the comments in the files that it names instead. -->
# Config keys

Every key that this project adds to
[Detectron2's](https://detectron2.readthedocs.io/en/latest/modules/config.html), with its default. Set keys in
a config file, or on the command line: `solo-d2 train --config-file quick/solov2_tiny SOLVER.MAX_ITER 100`.
A misspelled key is an error that suggests the right one.
"""


@dataclass(frozen=True)
class Key:
    """A key, its default, and the place in the code that adds it."""

    name: str
    default: object
    file: str
    line: int


@contextmanager
def recorded_places() -> Iterator[dict[tuple[int, str], tuple[str, int]]]:
    """Yields a dict that gets file and line of each value that is set in a config node, by id and name."""
    places: dict[tuple[int, str], tuple[str, int]] = {}
    original = CfgNode.__setattr__

    def record(node, name, value):
        frame = sys._getframe(1)
        places[id(node), name] = frame.f_code.co_filename, frame.f_lineno
        original(node, name, value)

    CfgNode.__setattr__ = record  # type: ignore[method-assign]
    try:
        yield places
    finally:
        CfgNode.__setattr__ = original  # type: ignore[method-assign]


def added_keys() -> list[Key]:
    """Returns the keys in the order in which they are added."""
    cfg = get_detectron2_cfg()
    theirs = flatten(cfg)
    with recorded_places() as places:
        add_solo_d2_config(cfg)
    keys = []
    for name, default in flatten(cfg).items():
        if name in theirs:
            continue
        *path, leaf = name.split(".")
        node = cfg
        for part in path:
            node = node[part]
        file, line = places[id(node), leaf]
        keys.append(Key(name, default, Path(file).relative_to(ROOT).as_posix(), line))
    return keys


def comment_above(lines: list[str], number: int) -> tuple[int, str]:
    """Returns number and text of the comment that explains a line: above it and lines like it."""
    index = number - 1  # of the line itself
    while index > 0 and not lines[index].strip().startswith(("#", "def ", '"""')) and lines[index].strip():
        index -= 1
    last = index
    while lines[index].strip().startswith("#"):
        index -= 1
    text = " ".join(line.strip().lstrip("# ") for line in lines[index + 1 : last + 1])
    return last, text


def title_of(file: str) -> str:
    """Returns what a file's keys are about: the first sentence of its docstring."""
    text = ast.get_docstring(ast.parse((ROOT / file).read_text())) or file
    return text.splitlines()[0].partition(": one ``")[0].rstrip(".")


def section(file: str, keys: list[Key]) -> str:
    """Returns the table of the keys of one file; keys with the same comment share a row."""
    lines = (ROOT / file).read_text().splitlines()
    rows: dict[tuple[int, str], list[Key]] = {}
    for key in keys:
        rows.setdefault(comment_above(lines, key.line), []).append(key)
    parts = [f"## {title_of(file)}\n\nFrom `{file}`.\n\n| key and default | meaning |\n| --- | --- |"]
    for (_, meaning), group in rows.items():
        shown = "<br>".join(f"`{key.name}` = {shown_default(key.default)}" for key in group)
        text = meaning.replace("``", "`").replace("|", "\\|")
        parts.append(f"| {shown} | {text} |")
    return "\n".join(parts) + "\n"


def shown_default(value: object) -> str:
    if isinstance(value, float):
        return f"`{value:.6g}`"
    if isinstance(value, tuple):
        return "`(" + ", ".join(f"{v:.4g}" if isinstance(v, float) else repr(v) for v in value) + ")`"
    return f"`{value!r}`"


def write_page() -> str:
    """Returns the whole page."""
    keys = sorted(added_keys(), key=lambda key: key.file)  # stable: the order within a file stays
    sections = [section(file, list(group)) for file, group in groupby(keys, key=lambda key: key.file)]
    return "\n".join([INTRODUCTION, *sections])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where the page would change"
    )
    text = write_page()
    if prepare_parser(parser).parse_args().check:
        if not PAGE.is_file() or PAGE.read_text() != text:
            raise InputError(f"{PAGE.name} is out of date: run python tools/config_keys_page.py")
        return
    write_text(PAGE, [text])
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    run_cli(main)
