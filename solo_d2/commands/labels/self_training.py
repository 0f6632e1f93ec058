"""Turns a trained segmenter's confident predictions into labels for the next training.

solo-d2 labels self-training --config-file quick/solov2_tiny --images images/ \\
    --output labels.json --opts MODEL.WEIGHTS output/train/model_final.pth

Writes what ``solo-d2 labels free-mask`` writes. PSEUDO_LABELS has the thresholds.
"""

import argparse

from solo_d2.config.loading import load_config
from solo_d2.engine import cli
from solo_d2.predictor import Predictor
from solo_d2.pseudo_labels import ConfidentPredictions
from solo_d2.utils.errors import InputError

from . import common


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    return common.build_parser(description)


def run(arguments: argparse.Namespace) -> None:
    """Writes the confident predictions as labels."""
    cli.show_log()
    cfg = load_config(arguments.config_file, arguments.opts)
    if cfg.TEST.BOX_ONLY:
        raise InputError("TEST.BOX_ONLY gives boxes without masks, but labels need masks: leave it out")
    common.label_images_from_config(cfg, arguments, ConfidentPredictions.from_config(cfg), Predictor)
