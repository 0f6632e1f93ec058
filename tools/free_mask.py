#!/usr/bin/env python
"""Segments objects in images without labels, with a self-supervised backbone: FreeSOLO's Free Mask.

python tools/free_mask.py --config-file configs/FreeSOLO/free_mask_R50.yaml --images images/ \\
    --output free_masks.json --processes 2 --opts MODEL.WEIGHTS densecl.pth

Writes COCO format: one class, RLE, box, area, score and a semantic embedding per mask. Stopped, the same
command goes on where it was.
"""

import logging

from solo_d2.engine.cli import run_cli
from solo_d2.predictor import Predictor, load_config
from solo_d2.pseudo_labels.command import build_parser, label_images_from_config
from solo_d2.pseudo_labels.labeling import select_all
from solo_d2.utils.errors import InputError


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = build_parser(__doc__).parse_args()
    cfg = load_config(arguments.config_file, arguments.opts)
    if cfg.MODEL.META_ARCHITECTURE != "FreeMask":
        raise InputError(f"{arguments.config_file} is no Free Mask: MODEL.META_ARCHITECTURE must be FreeMask")
    label_images_from_config(cfg, arguments, select_all, Predictor)


if __name__ == "__main__":
    run_cli(main)
