#!/usr/bin/env python
"""Turns a trained segmenter's confident predictions into labels for the next training.

python tools/self_training_labels.py --config-file configs/quick/solov2_tiny.yaml --images images/ \\
    --output labels.json --opts MODEL.WEIGHTS output/train/model_final.pth

Writes what tools/free_mask.py writes. PSEUDO_LABELS has the thresholds.
"""

from solo_d2.commands.labels import self_training
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 labels self-training``."""
    self_training.run(self_training.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
