#!/usr/bin/env python
"""Makes the built-in data set, a COCO-format set of synthetic scenes.

python tools/make_scenes.py
python tools/make_scenes.py --output datasets/scenes --num-train 5000 --size 256
python tools/make_scenes.py --video film.mp4
"""

from solo_d2.commands.data import scenes
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 data scenes``."""
    scenes.run(scenes.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
