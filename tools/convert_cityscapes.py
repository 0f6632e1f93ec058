#!/usr/bin/env python
"""Writes Cityscapes' instances as COCO files, once, for cityscapes_instances_{train,val}.

python tools/convert_cityscapes.py
python tools/convert_cityscapes.py --root datasets/cityscapes --splits val
"""

from solo_d2.commands.data import cityscapes
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 data cityscapes``."""
    cityscapes.run(cityscapes.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
