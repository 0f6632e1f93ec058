#!/usr/bin/env python
"""Tells what a model's errors cost: mask AP with masks and classes swapped for the true ones.

python train_net.py --config-file configs/quick/solov2_tiny.yaml --eval-only MODEL.WEIGHTS model.pth
python tools/analyze_errors.py --json datasets/scenes/instances_val.json \\
    --results output/inference/coco_instances_results.json
"""

from solo_d2.commands.analyze import errors
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 analyze errors``."""
    errors.run(errors.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
