#!/usr/bin/env python
"""Writes Cityscapes' instances as COCO files, once, for cityscapes_instances_{train,val}.

python tools/convert_cityscapes.py
python tools/convert_cityscapes.py --root datasets/cityscapes --splits val
"""

import argparse
import logging

from solo_d2.data.datasets.cityscapes import convert_cityscapes
from solo_d2.engine.cli import prepare_parser, run_cli


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", default="datasets/cityscapes", help="holds gtFine/ and leftImg8bit/ (%(default)s)"
    )
    parser.add_argument(
        "--splits", nargs="+", choices=("train", "val"), default=["train", "val"], help="(both)"
    )
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    return prepare_parser(parser)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = build_parser().parse_args()
    for split in arguments.splits:
        convert_cityscapes(arguments.root, split, arguments.workers)


if __name__ == "__main__":
    run_cli(main)
