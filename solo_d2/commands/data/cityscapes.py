"""Writes Cityscapes' instances as COCO files, once, for cityscapes_instances_{train,val}.

solo-d2 data cityscapes
solo-d2 data cityscapes --root datasets/cityscapes --splits val
"""

import argparse

from solo_d2.data.datasets.cityscapes import convert_cityscapes
from solo_d2.engine import cli
from solo_d2.engine.flag_types import whole


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument(
        "--root", default="datasets/cityscapes", help="holds gtFine/ and leftImg8bit/ (%(default)s)"
    )
    parser.add_argument(
        "--splits", nargs="+", choices=("train", "val"), default=["train", "val"], help="(both)"
    )
    parser.add_argument("--workers", type=whole(0), help="processes (default: one per core)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the COCO files of the splits."""
    cli.show_log()
    for split in arguments.splits:
        convert_cityscapes(arguments.root, split, arguments.workers)
