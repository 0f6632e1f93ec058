#!/usr/bin/env python
"""Shows what a trained model does: mask activations per grid cell, mask-feature channels, kernels.

python tools/visualize_solo.py --config-file configs/quick/solov2_tiny.yaml \\
    --input datasets/scenes/val/images/000001.png --opts MODEL.WEIGHTS output/demo/train/model_final.pth

Writes <picture>_activations.jpg, <picture>_channels.jpg and <picture>_kernels.jpg; of pictures with equal
names, the second is <picture>_2.
"""

from solo_d2.commands.visualize import activations
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 visualize activations``."""
    activations.run(activations.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
