"""Lists the problems of a panoptic annotation set in plain words.

solo-d2 data check-panoptic --json panoptic_train.json --panoptic panoptic_train/ --images train/

Exits with 0 if nothing is wrong.
"""

import argparse
import sys

from solo_d2.data.datasets.panoptic_checks import check_pictures, read_panoptic_json
from solo_d2.data.datasets.panoptic_cleaning import clean_panoptic
from solo_d2.engine import cli
from solo_d2.engine.flag_types import whole
from solo_d2.utils.errors import InputError


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("--json", required=True, help="COCO panoptic annotations")
    parser.add_argument("--panoptic", required=True, help="folder of their PNG files")
    parser.add_argument("--images", required=True, help="folder of the images")
    parser.add_argument("--workers", type=whole(0), help="processes (default: one per core)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the problems; exits with code 1 if there are any."""
    content = read_panoptic_json(arguments.json)
    if not content["annotations"]:
        raise InputError(f"{arguments.json} has no annotation")
    cleaned, findings = clean_panoptic(content, arguments.panoptic, arguments.images)
    lines = [*findings.skipped.lines(), *findings.fixed.lines()]
    if not lines:
        lines = check_pictures(cleaned, arguments.panoptic, arguments.images, arguments.workers).lines()
    for line in lines:
        print(line)
    if lines:
        sys.exit(cli.EXIT_FAILURE)
    segments = sum(len(annotation["segments_info"]) for annotation in content["annotations"])
    print(f"{arguments.json}: {len(content['annotations'])} images, {segments} segments, nothing wrong")
