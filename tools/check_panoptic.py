#!/usr/bin/env python
"""Says in plain words what is wrong with a panoptic annotation set.

python tools/check_panoptic.py --json panoptic_train.json --panoptic panoptic_train/ --images train/

Exits with 0 where nothing is wrong.
"""

from solo_d2.commands.data import check_panoptic
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 data check-panoptic``."""
    check_panoptic.run(check_panoptic.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
