"""Evaluation results as one flat JSON object with the evaluators' own keys."""

import json
import math

from solo_d2.utils.atomic_file import write_text


def flatten_results(results: dict, prefix: str = "") -> dict[str, float | None]:
    """Flattens nested results: ``{"segm": {"AP": 50.0}}`` becomes ``{"segm/AP": 50.0}``.

    Args:
        results: nested dictionaries of numbers.
        prefix: goes in front of every key.

    Returns:
        dict: numbers by path; None for NaN (a class without ground truth has no AP).
    """
    flat = {}
    for name, value in results.items():
        if isinstance(value, dict):
            flat.update(flatten_results(value, f"{prefix}{name}/"))
        else:
            flat[prefix + name] = None if math.isnan(value) else float(value)
    return flat


def write_results(results: dict, path: str) -> None:
    """Writes results as flat JSON; the file appears whole or not at all."""
    write_text(path, [json.dumps(flatten_results(results), indent=2, sort_keys=True), "\n"])
