"""Runs the cases of fuzz tests within limits, and makes mistakes in JSON files.

The cases of a test are always the same, because hypothesis derives its random numbers from the test itself.
"""

import contextlib
import gc
import io
import json
import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from solo_d2.engine.cli import EXIT_USAGE, run_reporting_errors

SECONDS = 5
MEGABYTES = 400
LONGEST_LINE, MOST_OUTPUT = 2100, 20_000  # characters

SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking takes a minute
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# Values that a field of a JSON file must not have, or that programs confuse.
NUMBERS = [
    0,
    -1,
    1,
    2,
    3,
    1.0,
    0.5,
    -0.0,
    1e-9,
    255,
    2**31,
    2**53,
    2**53 + 1,
    2**63,
    2**64,
    -(2**63),
    10**400,
]
NUMBERS += [1e7, 1e8, 1e300, float("nan"), float("inf"), float("-inf")]
TEXTS = ["", "1", "01", "text", "\x1b[31mred", "two\nlines", "nul\0", "\ud800", "é", "x" * 300]
HOSTILE = [*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], [None], [True], ["1"], [0, 0, 0, 0], {"1": 1}]
NAMES = [
    "",
    ".",
    "..",
    "../a.png",
    "/",
    "/etc/hostname",
    "gone.png",
    "a.png/b.png",
    "sub\\a.png",
    "C:\\a.png",
]
NAMES += [
    "nul\0.png",
    "\ud800.png",
    "\x1b[2J.png",
    "new\nline.png",
    "x" * 300,
    "x" * 5000,
    "~/a.png",
    "http://a/b",
]


# The settings of every run, which starts in the folder `work`.
RUN = ["OUTPUT_DIR", "../out", "MODEL.DEVICE", "cpu", "MODEL.MASK_ON", True, "INPUT.MASK_FORMAT", "bitmask"]
RUN += ["DATALOADER.NUM_WORKERS", 0, "SOLVER.IMS_PER_BATCH", 2]
RUN += ["INPUT.MIN_SIZE_TRAIN", "(32,)", "INPUT.MIN_SIZE_TEST", 32]


def few_and_many(few: int, many: int) -> Callable:
    """Gives a test the argument ``count``: ``few`` in the fast suite, ``many`` in the slow one."""
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.slow)])


def run_cases(count: int, one_case: Callable[[st.DataObject], None], megabytes: float = MEGABYTES) -> None:
    """Runs ``one_case`` on ``count`` draws; each ends in time, and all of them together in bounded memory."""
    ran = 0

    @settings(SETTINGS, max_examples=count)
    @given(data=st.data())
    def cases(data):
        nonlocal ran
        ran += 1
        with time_limit(SECONDS):
            one_case(data)
        gc.collect()  # what exceptions keep is not the next case's

    with memory_limit(megabytes):
        cases()
    assert ran >= count


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupts a block that takes more than ``seconds`` of this process."""

    def interrupt(*_):
        raise TimeoutError(f"a case took more than {seconds} s")

    before = signal.signal(signal.SIGPROF, interrupt)
    start = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert time.process_time() - start < seconds


@contextlib.contextmanager
def memory_limit(megabytes: float) -> Iterator[None]:
    """Checks how far the memory of this process grows in a block, at its highest point; Linux only."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the highest point
    except OSError:
        yield
        return
    before = _memory("VmRSS")
    yield
    assert _memory("VmHWM") - before < megabytes


def _memory(kind: str) -> float:
    """Returns a number of ``/proc/self/status`` in megabytes."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind)]
    return int(line.split()[1]) / 1024


def outcome(main: Callable[[], object], folder: Path) -> tuple[object, str]:
    """Runs what a user runs.

    Args:
        main: The run; its own folder is ``out``, which is emptied before, except for ``log.txt``.
        folder: Holds ``out`` and the user's files, which must stay as they are.

    Returns:
        The result and "", or None and the line that explains the end.
    """
    output, result, text = folder / "out", None, io.StringIO()
    for path in output.glob("*/"):
        shutil.rmtree(path)
    files, log = _files(folder, output), _size(output / "log.txt")
    with contextlib.redirect_stderr(text), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # of numpy: the numbers are wrong
        try:
            result = run_reporting_errors(main)
        except SystemExit as end:
            assert end.code == EXIT_USAGE
    lines = [line for line in text.getvalue().splitlines() if line.startswith("error: ")]
    assert len(lines) == (result is None), text.getvalue()
    assert all(line.isprintable() and len(line) < LONGEST_LINE for line in lines), lines
    assert len(text.getvalue()) < MOST_OUTPUT and _size(output / "log.txt") - log < MOST_OUTPUT
    assert _files(folder, output) == files
    return result, lines[0].removeprefix("error: ") if lines else ""


def _files(folder: Path, output: Path) -> dict[str, tuple[int, int]]:
    """Returns size and time of all files outside ``output``."""
    found = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(parent, name) != output]
        stats = {str(Path(parent, name)): os.lstat(Path(parent, name)) for name in names}
        found |= {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}
    return found


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def change_somewhere(content: object, data: st.DataObject) -> None:
    """Replaces, removes, repeats or adds one value anywhere in JSON content, in place."""
    parent, key = data.draw(st.sampled_from(list(_places(content))))
    kind = data.draw(st.sampled_from(["replace"] * 4 + ["remove", "repeat", "other"]))
    if kind == "replace":
        parent[key] = data.draw(st.sampled_from(HOSTILE))
    elif kind == "remove":
        del parent[key]
    elif kind == "other":
        other, place = data.draw(st.sampled_from(list(_places(content))))
        parent[key] = json.loads(json.dumps(other[place]))
    elif isinstance(parent, list):
        parent.append(json.loads(json.dumps(parent[key])))
    else:
        parent[f"{key} again"] = parent[key]


def _places(content: object) -> Iterator[tuple]:
    """Yields (container, key) of every value in JSON content; long lists of numbers give their start."""
    if isinstance(content, dict):
        keys: list = list(content)
    else:
        plain = all(isinstance(value, int | float) for value in content)
        keys = list(range(min(len(content), 2) if plain else len(content)))
    for key in keys:
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


DAMAGES = ["cut", "byte order mark", "utf-16", "deep", "other root", "bytes", "empty", "digits", "twice"]


def damaged(text: str, kind: str, data: st.DataObject) -> bytes:
    """Returns a JSON file's bytes, damaged or in an unusual encoding."""
    if kind == "cut":
        return text[: data.draw(st.integers(0, len(text) - 1))].encode()
    if kind == "byte order mark":
        return text.encode("utf-8-sig")
    if kind == "utf-16":
        return text.encode("utf-16")
    if kind == "deep":
        nested = "[" * 100_000 + "]" * 100_000
        return (nested if data.draw(st.booleans()) else text[:-1] + f', "more": {nested}}}').encode()
    if kind == "other root":
        return json.dumps(data.draw(st.sampled_from([*HOSTILE, [json.loads(text)]]))).encode()
    if kind == "bytes":
        return data.draw(st.binary(max_size=40))
    if kind == "digits":
        return (text[:-1] + f', "more": {"9" * 5000}}}').encode()
    return b"" if kind == "empty" else (text + text).encode()


def changed_file(content: object, change: Callable[[Any, st.DataObject], None], data: st.DataObject) -> bytes:
    """Returns a JSON file of content that ``change`` has made a mistake in, in place, or a damaged one."""
    if data.draw(st.integers(0, 9)):
        change(content, data)
        return json.dumps(content).encode()
    return damaged(json.dumps(content), data.draw(st.sampled_from(DAMAGES)), data)
