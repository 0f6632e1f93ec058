"""Writes a part of a COCO annotation file: some of its images, or all its labels with some of its masks.

solo-d2 data split --json instances_train.json --by images --fraction 0.05 --output images5.json
solo-d2 data split --json instances_train.json --by masks --fraction 0.1 --output masks10.json
"""

import argparse
from pathlib import Path

from solo_d2.data.datasets.coco_format import read_annotations
from solo_d2.data.datasets.split import split_by_images, split_by_masks
from solo_d2.engine import cli
from solo_d2.engine.flag_types import share, whole
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import write_json

SPLITS = {"images": split_by_images, "masks": split_by_masks}


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("--json", required=True, help="COCO annotations")
    parser.add_argument("--output", required=True, metavar="FILE.json", help="where the part goes")
    parser.add_argument("--by", choices=SPLITS, required=True, help="what is chosen")
    parser.add_argument("--fraction", type=share, required=True, help="how much of it, such as 0.05")
    parser.add_argument("--seed", type=whole(0), default=0, help="which part (%(default)s)")
    return parser


def check_output(output: Path, source: Path) -> None:
    """Raises ``InputError`` for an output that is not a JSON file, or is the input."""
    if output.suffix != ".json":
        raise InputError(f"--output {output} does not end in .json")
    if output.resolve() == source.resolve():
        raise InputError(f"--output {output} is the --json that is split: name another file")


def run(arguments: argparse.Namespace) -> None:
    """Writes the part."""
    check_output(Path(arguments.output), Path(arguments.json))
    content = read_annotations(arguments.json)
    part = SPLITS[arguments.by](content, arguments.fraction, arguments.seed)
    write_json(arguments.output, part)
    withheld = sum(annotation.get("mask_withheld") == 1 for annotation in part["annotations"])
    print(
        f"{arguments.output}: {len(part['images'])} of {len(content['images'])} images, "
        f"{len(part['annotations'])} of {len(content['annotations'])} labels, "
        f"{len(part['annotations']) - withheld} masks"
    )
