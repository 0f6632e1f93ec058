#!/usr/bin/env python
"""Writes a part of a COCO annotation file: some of its images, or all its labels with some of its masks.

python tools/split_dataset.py --json instances_train.json --by images --fraction 0.05 --output images5.json
python tools/split_dataset.py --json instances_train.json --by masks --fraction 0.1 --output masks10.json
"""

from solo_d2.commands.data import split
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 data split``."""
    split.run(split.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
