#!/usr/bin/env python
"""Tells what a model's errors cost: mask AP with masks and classes swapped for the true ones.

python train_net.py --config-file configs/quick/solov2_tiny.yaml --eval-only MODEL.WEIGHTS model.pth
python tools/analyze_errors.py --json datasets/scenes/instances_val.json \\
    --results output/inference/coco_instances_results.json
"""

import argparse
from pathlib import Path

from solo_d2.engine.cli import prepare_parser, run_cli
from solo_d2.evaluation.error_analysis import analyze_errors, format_table
from solo_d2.evaluation.results import write_results


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", required=True, help="COCO annotations the model was evaluated with")
    parser.add_argument("--results", required=True, help="COCO results with masks")
    parser.add_argument("--output", metavar="FILE.json", help="also write the numbers there")
    return prepare_parser(parser)


def main() -> None:
    arguments = build_parser().parse_args()
    rows = analyze_errors(arguments.json, arguments.results)
    print(format_table(rows))
    if arguments.output:
        Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
        write_results(rows, arguments.output)


if __name__ == "__main__":
    run_cli(main)
