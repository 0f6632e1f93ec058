"""Medians, ratios and the table every benchmark prints."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def row(name: str, ours: float, baseline: float, unit: str) -> dict:
    """One line of the table; ratio > 1 means ours is better (less)."""
    return {
        "name": name,
        "ours": round(ours, 3),
        "baseline": round(baseline, 3),
        "ratio": round(baseline / ours, 2),
        "unit": unit,
    }


def interleaved_ms(
    functions: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Returns each function's median time in milliseconds, after one call that is not counted.

    They are called in turn, so that a machine that slows down meanwhile slows all of them. The time is wall
    time; with ``time.process_time`` as the clock it is CPU time.
    """
    for function in functions:
        function()
    times = [[] for _ in functions]
    for _ in range(repeats):
        for function, own in zip(functions, times, strict=True):
            start = clock()
            function()
            own.append((clock() - start) * 1e3)
    return [statistics.median(own) for own in times]


def median_ms(function: Callable[[], object], repeats: int) -> float:
    """Returns the median wall time of a call in milliseconds, after one call that is not counted."""
    return interleaved_ms([function], repeats)[0]


def build_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the flags every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=5, help="timed calls per figure (%(default)s)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    return parser


def parse_args(description: str) -> argparse.Namespace:
    """Reads the flags of a benchmark that has no others."""
    return build_parser(description).parse_args()


def report(rows: list[dict], json_file: Path | None) -> None:
    """Prints the rows as a Markdown table and writes them where asked."""
    print("| what | ours | baseline | ratio | unit |\n| --- | --- | --- | --- | --- |")
    for r in rows:
        print(f"| {r['name']} | {r['ours']} | {r['baseline']} | {r['ratio']} | {r['unit']} |")
    if json_file:
        json_file.write_text(json.dumps(rows, indent=1))
