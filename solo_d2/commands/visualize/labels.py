"""Draws labels in COCO format, such as free masks and self-training labels, over their images.

solo-d2 visualize labels --labels free_masks.json --images images/ --output output/free_masks
solo-d2 visualize labels --labels free_masks.json labels_1.json --images images/ --limit 8

Several label files are drawn side by side, after the image itself. The picture of sub/a.png is
OUTPUT/sub/a.png.jpg; a name that leaves its folder, such as ../a.png, gives OUTPUT/__/a.png.jpg.
"""

import argparse
from pathlib import Path

from solo_d2.engine import cli
from solo_d2.engine.flag_types import share, whole
from solo_d2.inputs import to_array
from solo_d2.utils.output_paths import output_paths, refuse_overwriting
from solo_d2.visualization.labels import draw_row, label_sheet, read_labels
from solo_d2.visualization.pictures import save_picture


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    add = parser.add_argument
    add("--labels", nargs="+", required=True, metavar="FILE.json", help="COCO files with masks")
    add("--images", required=True, metavar="DIR", help="folder that their file names are relative to")
    add("--output", default="output/labels", metavar="DIR", help="(%(default)s)")
    add("--limit", type=whole(1), default=16, metavar="N", help="only the first N images (%(default)s)")
    add("--threshold", type=share, default=0.0, metavar="SCORE", help="lowest score drawn (%(default)s)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes a picture per image and prints its name."""
    files = [read_labels(path) for path in arguments.labels]
    root, names = Path(arguments.images), list(files[0].images)
    drawn = names[: arguments.limit]
    targets = [path.with_name(f"{path.name}.jpg") for path in output_paths(arguments.output, drawn)]
    refuse_overwriting(targets, [root / name for name in names])
    for name, target in zip(drawn, targets, strict=True):
        row = draw_row(to_array(root / name, "RGB"), name, files, arguments.threshold)
        save_picture(label_sheet([row]), target)
        print(target)
