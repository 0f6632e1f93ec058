#!/usr/bin/env python
"""Renames published weights to this project's names, or back.

MODEL.WEIGHTS and the predictor read every known format themselves: converting is for files that are to be
kept, passed on or used by other programs.

python tools/convert_checkpoint.py --input solov2_r50_fpn_3x_coco.pth --output solov2_R50_3x.safetensors
python tools/convert_checkpoint.py --input SOLOv2_R50_3x.pth --output m.pth \\
    --config-file original/solov2_R50_3x
python tools/convert_checkpoint.py --input model_final.pth --output for_mmdet.pth --to mmdet
python tools/convert_checkpoint.py --input model_final.pth --output backbone.pth --to torchvision
"""

from solo_d2.commands import convert
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 convert``."""
    convert.run(convert.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
