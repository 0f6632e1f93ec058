"""Segments objects in images without labels, with a self-supervised backbone: FreeSOLO's Free Mask.

solo-d2 labels free-mask --config-file FreeSOLO/free_mask_R50 --images images/ \\
    --output free_masks.json --processes 2 --opts MODEL.WEIGHTS densecl.pth

Writes COCO format: one class, RLE, box, area, score and a semantic embedding per mask. The same command
resumes a run that was stopped.
"""

import argparse

from solo_d2.config.loading import load_config
from solo_d2.engine import cli
from solo_d2.predictor import Predictor
from solo_d2.pseudo_labels.labeling import select_all
from solo_d2.utils.errors import InputError

from . import common


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    return common.build_parser(description)


def run(arguments: argparse.Namespace) -> None:
    """Writes the masks as labels."""
    cli.show_log()
    cfg = load_config(arguments.config_file, arguments.opts)
    if cfg.MODEL.META_ARCHITECTURE != "FreeMask":
        raise InputError(
            f"{arguments.config_file} is not a Free Mask config: MODEL.META_ARCHITECTURE must be FreeMask"
        )
    common.label_images_from_config(cfg, arguments, select_all, Predictor)
