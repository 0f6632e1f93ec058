#!/usr/bin/env python
"""Turns a trained segmenter's confident predictions into labels for the next training.

python tools/self_training_labels.py --config-file configs/quick/solov2_tiny.yaml --images images/ \\
    --output labels.json --opts MODEL.WEIGHTS output/train/model_final.pth

Writes what tools/free_mask.py writes. PSEUDO_LABELS has the thresholds.
"""

import logging

from solo_d2.engine.cli import run_cli
from solo_d2.predictor import Predictor, load_config
from solo_d2.pseudo_labels import ConfidentPredictions
from solo_d2.pseudo_labels.command import build_parser, label_images_from_config
from solo_d2.utils.errors import InputError


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = build_parser(__doc__).parse_args()
    cfg = load_config(arguments.config_file, arguments.opts)
    if cfg.TEST.BOX_ONLY:
        raise InputError("TEST.BOX_ONLY gives boxes without masks, which are no labels: leave it out")
    label_images_from_config(cfg, arguments, ConfidentPredictions.from_config(cfg), Predictor)


if __name__ == "__main__":
    run_cli(main)
