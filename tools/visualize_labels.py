#!/usr/bin/env python
"""Draws labels in COCO format, such as free masks and self-training labels, over their images.

python tools/visualize_labels.py --labels free_masks.json --images images/ --output output/free_masks
python tools/visualize_labels.py --labels free_masks.json labels_1.json --images images/ --limit 8

Several label files are drawn side by side, after the image itself.
"""

import argparse
from pathlib import Path

from solo_d2.engine.cli import prepare_parser, run_cli
from solo_d2.predictor import to_array
from solo_d2.pseudo_labels.pictures import draw_row, make_sheet, read_labels, save_picture
from solo_d2.structures.errors import InputError


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--labels", nargs="+", required=True, metavar="FILE.json", help="COCO files with RLE masks")
    add("--images", required=True, metavar="DIR", help="folder that their file names are relative to")
    add("--output", default="output/labels", metavar="DIR", help="(%(default)s)")
    add("--limit", type=int, default=16, metavar="N", help="only the first N images (%(default)s)")
    add("--threshold", type=float, default=0.0, metavar="SCORE", help="lowest score drawn (%(default)s)")
    return prepare_parser(parser)


def main() -> None:
    arguments = build_parser().parse_args()
    if arguments.limit < 1:
        raise InputError(f"--limit {arguments.limit}: it must be at least 1")
    files = [read_labels(path) for path in arguments.labels]
    for name in list(files[0][0])[: arguments.limit]:
        picture = to_array(Path(arguments.images) / name, "RGB")
        row = draw_row(picture, name, files, arguments.threshold)
        target = (Path(arguments.output) / name).with_suffix(".jpg")
        save_picture(make_sheet([row]), target)
        print(target)


if __name__ == "__main__":
    run_cli(main)
