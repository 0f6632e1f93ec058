#!/usr/bin/env python
"""Tells how large a data set's instances are, how crowded, and which SOLOv2 settings suit it.

python tools/analyze_dataset.py --json annotations.json --images images
python tools/analyze_dataset.py --json annotations.json --images images --min-size 512 --levels 4
"""

from solo_d2.commands.analyze import dataset
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 analyze dataset``."""
    dataset.run(dataset.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
