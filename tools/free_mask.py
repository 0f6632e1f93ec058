#!/usr/bin/env python
"""Segments objects in images without labels, with a self-supervised backbone: FreeSOLO's Free Mask.

python tools/free_mask.py --config-file configs/FreeSOLO/free_mask_R50.yaml --images images/ \\
    --output free_masks.json --processes 2 --opts MODEL.WEIGHTS densecl.pth

Writes COCO format: one class, RLE, box, area, score and a semantic embedding per mask. The same command
resumes a run that was stopped.
"""

from solo_d2.commands.labels import free_mask
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 labels free-mask``."""
    free_mask.run(free_mask.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
