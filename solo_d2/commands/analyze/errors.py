"""Prints the cost of a model's errors: mask AP with true masks or classes in place of predicted ones.

solo-d2 eval --config-file quick/solov2_tiny MODEL.WEIGHTS model.pth
solo-d2 analyze errors --json datasets/scenes/instances_val.json \\
    --results output/inference/coco_instances_results.json
"""

import argparse
from pathlib import Path

from solo_d2.engine import cli
from solo_d2.evaluation.error_analysis import analyze_errors, format_table
from solo_d2.evaluation.results import write_results


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("--json", required=True, help="COCO annotations the model was evaluated with")
    parser.add_argument("--results", required=True, help="COCO results with masks")
    parser.add_argument("--output", metavar="FILE.json", help="also write the numbers there")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints, and with ``--output`` writes, the AP that each kind of error costs."""
    rows = analyze_errors(arguments.json, arguments.results)
    print(format_table(rows))
    if arguments.output:
        Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
        write_results(rows, arguments.output)
