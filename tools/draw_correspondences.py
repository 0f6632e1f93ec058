#!/usr/bin/env python
"""Draws which cells of two random views of a picture a pre-trained backbone takes for the same thing.

python tools/draw_correspondences.py --config-file configs/quick/densecl_tiny.yaml \\
    --input datasets/scenes/val/images/000001.png --opts MODEL.WEIGHTS output/model_final.pth

Lines join cells that are each other's most similar one, with a cosine of at least --threshold. Writes
<picture>_correspondences.jpg; MODEL.WEIGHTS is a checkpoint of the pre-training or an exported backbone.
"""

from solo_d2.commands.visualize import correspondences
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 visualize correspondences``."""
    correspondences.run(correspondences.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
