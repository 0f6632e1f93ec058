"""Medians, ratios and the table every benchmark prints."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path


def median_ms(function: Callable[[], object], repeats: int) -> float:
    """Returns the median wall time of a call in milliseconds, after one call that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def row(name: str, ours: float, baseline: float, unit: str) -> dict:
    """One line of the table; ratio > 1 means ours is better (less)."""
    return {
        "name": name,
        "ours": round(ours, 3),
        "baseline": round(baseline, 3),
        "ratio": round(baseline / ours, 2),
        "unit": unit,
    }


def parse_args(description: str) -> argparse.Namespace:
    """The flags every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=5, help="timed calls per figure")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    return parser.parse_args()


def report(rows: list[dict], json_file: Path | None) -> None:
    """Prints the rows as a Markdown table and writes them where asked."""
    print("| what | ours | baseline | ratio | unit |\n| --- | --- | --- | --- | --- |")
    for r in rows:
        print(f"| {r['name']} | {r['ours']} | {r['baseline']} | {r['ratio']} | {r['unit']} |")
    if json_file:
        json_file.write_text(json.dumps(rows, indent=1))
