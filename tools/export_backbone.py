#!/usr/bin/env python
"""Writes a pre-trained backbone as a file for MODEL.WEIGHTS of any Detectron2 model.

    python tools/export_backbone.py --weights output/densecl/model_final.pth --output densecl_r50.pth
    python tools/export_backbone.py --weights output/densecl/model_final.pth --output densecl_r50_rgb.pth \\
        --for-config other.yaml

With --for-config, the file fits that config's channel order and pixel normalization. Without it, it fits
those of the pre-training, which the tool prints.
"""

from solo_d2.commands.export import backbone
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 export backbone``."""
    backbone.run(backbone.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
