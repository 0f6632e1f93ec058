"""Evaluation results as one flat JSON object with the evaluators' own keys."""

import math

from detectron2.evaluation.testing import flatten_results_dict
from solo_d2.utils.json_file import write_json


def flatten_results(results: dict) -> dict[str, float | None]:
    """Flattens nested results: ``{"segm": {"AP": 50.0}}`` becomes ``{"segm/AP": 50.0}``.

    Args:
        results: Nested dictionaries of numbers.

    Returns:
        Numbers by path; None for NaN (a class without ground truth has no AP).
    """
    flat = flatten_results_dict(results)
    return {name: None if math.isnan(value) else float(value) for name, value in flat.items()}


def write_results(results: dict, path: str) -> None:
    """Writes results atomically as flat JSON."""
    write_json(path, dict(sorted(flatten_results(results).items())), indent=2)
