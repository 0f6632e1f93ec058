#!/usr/bin/env python
"""Draws labels in COCO format, such as free masks and self-training labels, over their images.

python tools/visualize_labels.py --labels free_masks.json --images images/ --output output/free_masks
python tools/visualize_labels.py --labels free_masks.json labels_1.json --images images/ --limit 8

Several label files are drawn side by side, after the image itself. The picture of sub/a.png is
OUTPUT/sub/a.png.jpg; a name that leaves its folder, such as ../a.png, gives OUTPUT/__/a.png.jpg.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path, PurePath

from solo_d2.engine.cli import prepare_parser, run_cli
from solo_d2.predictor import to_array
from solo_d2.utils.errors import InputError
from solo_d2.visualization.labels import draw_row, make_sheet, read_labels, save_picture


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


def target_of(output: str, name: str) -> Path:
    """Where the picture of an image goes: below ``output``, whatever its file name."""
    source = PurePath(name)
    target = Path(output, *("__" if part in ("..", source.anchor) else part for part in source.parts))
    return target.with_name(f"{target.name}.jpg")


def check_targets(targets: Iterable[Path], sources: Iterable[Path]) -> None:
    """Raises ``InputError`` where a picture would overwrite an image."""
    images = {source.resolve() for source in sources}
    for target in targets:
        if target.resolve() in images:
            raise InputError(f"the picture {target} would overwrite an image: name another --output")


def main() -> None:
    arguments = build_parser().parse_args()
    if arguments.limit < 1:
        raise InputError(f"--limit {arguments.limit}: it must be at least 1")
    files = [read_labels(path) for path in arguments.labels]
    root, names = Path(arguments.images), list(files[0][0])
    targets = {name: target_of(arguments.output, name) for name in names[: arguments.limit]}
    check_targets(targets.values(), [root / name for name in names])
    for name, target in targets.items():
        row = draw_row(to_array(root / name, "RGB"), name, files, arguments.threshold)
        save_picture(make_sheet([row]), target)
        print(target)


if __name__ == "__main__":
    run_cli(main)
