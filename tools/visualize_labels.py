#!/usr/bin/env python
"""Draws labels in COCO format, such as free masks and self-training labels, over their images.

python tools/visualize_labels.py --labels free_masks.json --images images/ --output output/free_masks
python tools/visualize_labels.py --labels free_masks.json labels_1.json --images images/ --limit 8

Several label files are drawn side by side, after the image itself. The picture of sub/a.png is
OUTPUT/sub/a.png.jpg; a name that leaves its folder, such as ../a.png, gives OUTPUT/__/a.png.jpg.
"""

from solo_d2.commands.visualize import labels
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 visualize labels``."""
    labels.run(labels.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
