"""Prints results and compares them with expected ones."""

import logging
import pprint
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from detectron2.config import CfgNode


def print_csv_format(results: Mapping) -> None:
    """Logs results in lines that can be pasted into a spreadsheet.

    Args:
        results: {task: {metric: number}}; metrics of single classes ("AP-cat") are skipped.
    """
    assert isinstance(results, Mapping) or not results, results
    logger = logging.getLogger(__name__)
    for task, metrics in results.items():
        if not isinstance(metrics, Mapping):
            logger.info(f"copypaste: {task}={metrics}")
            continue
        important = {name: value for name, value in metrics.items() if "-" not in name}
        logger.info(f"copypaste: Task: {task}")
        logger.info("copypaste: " + ",".join(important))
        logger.info("copypaste: " + ",".join(f"{value:.4f}" for value in important.values()))


def verify_results(cfg: CfgNode, results: dict[str, Any]) -> bool:
    """Compares results with ``cfg.TEST.EXPECTED_RESULTS``, rows of (task, metric, value, tolerance).

    Returns:
        True if all results are as expected; otherwise the program exits with code 1.
    """
    expected_results = cfg.TEST.EXPECTED_RESULTS
    if not expected_results:
        return True
    ok = True
    for task, metric, expected, tolerance in expected_results:
        actual = results[task].get(metric)
        finite = actual is not None and np.isfinite(actual)
        ok = ok and finite and abs(actual - expected) <= tolerance
    logger = logging.getLogger(__name__)
    if not ok:
        logger.error("Result verification failed!")
        logger.error("Expected Results: " + str(expected_results))
        logger.error("Actual Results: " + pprint.pformat(results))
        sys.exit(1)
    logger.info("Results verification passed.")
    return ok


def flatten_results_dict(results: Mapping) -> dict[str, Any]:
    """Flattens {"a": {"b": 1}} to {"a/b": 1}, at any depth."""
    flat: dict[str, Any] = {}
    for key, value in results.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}/{k}": v for k, v in flatten_results_dict(value).items()})
        else:
            flat[key] = value
    return flat
