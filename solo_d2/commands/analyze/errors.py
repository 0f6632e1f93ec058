"""Prints the cost of a model's errors: mask AP with true masks or classes in place of predicted ones.

Masks that claim two objects or more, at least half of each, are counted.

solo-d2 eval --config-file quick/solov2_tiny MODEL.WEIGHTS model.pth
solo-d2 analyze errors --json datasets/scenes/instances_val.json \\
    --results output/inference/coco_instances_results.json
"""

import argparse
from pathlib import Path

from solo_d2.engine import cli
from solo_d2.engine.flag_types import share
from solo_d2.evaluation.error_analysis import analyze_errors, format_table, read_pair
from solo_d2.evaluation.mistakes import spanning_share
from solo_d2.evaluation.results import write_results


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("--json", required=True, help="COCO annotations the model was evaluated with")
    parser.add_argument("--results", required=True, help="COCO results with masks")
    parser.add_argument("--min-score", type=share, default=0.5, help="of counted masks (%(default)s)")
    parser.add_argument("--output", metavar="FILE.json", help="also write the numbers there")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints, and with ``--output`` writes, the AP that each kind of error costs."""
    truth, results = read_pair(arguments.json, arguments.results)
    rows = analyze_errors(truth, results)
    print(format_table(rows))
    spanning, total = spanning_share(truth, results, arguments.min_score)
    percent = 100 * spanning / max(total, 1)
    print(
        f"{spanning} of {total} masks with a score of {arguments.min_score:g} or more ({percent:.1f}%) "
        "contain at least half of two objects or more"
    )
    if arguments.output:
        Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
        write_results({**rows, "spanning masks": {"count": spanning, "of": total}}, arguments.output)
