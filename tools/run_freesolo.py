#!/usr/bin/env python
"""FreeSOLO: images without labels in, a class-agnostic segmenter and a pre-trained backbone out.

python tools/run_freesolo.py --images datasets/scenes/train/images \\
    --val-json datasets/scenes/instances_val.json --val-images datasets/scenes/val/images
python tools/run_freesolo.py --images images/ --backbone densecl.pth --num-gpus 8 \\
    --free-mask-config configs/FreeSOLO/free_mask_R50.yaml \\
    --config-file configs/FreeSOLO/freesolo_R50_30k.yaml

Stages: densecl, masks, train, and for each round labels_N and train_N. The same command (without --redo)
resumes a run that was stopped or killed. OUTPUT/report.md has the numbers, times and pictures.
"""

from solo_d2.commands import freesolo
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 freesolo``."""
    freesolo.run(freesolo.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
