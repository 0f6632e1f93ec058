#!/usr/bin/env python
"""Makes the built-in data set, a COCO-format set of synthetic scenes.

python tools/make_scenes.py
python tools/make_scenes.py --output datasets/scenes --num-train 5000 --size 256
python tools/make_scenes.py --video film.mp4
"""

import argparse
import logging

from solo_d2.engine.cli import prepare_parser, run_cli
from solo_d2.scenes import generate_scenes, write_film


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", default="datasets/scenes", help="folder to make (%(default)s)")
    parser.add_argument("--num-train", type=int, default=2000, help="training images (%(default)s)")
    parser.add_argument("--num-val", type=int, default=200, help="validation images (%(default)s)")
    parser.add_argument("--size", type=int, default=128, help="image side in pixels (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the whole set (%(default)s)")
    parser.add_argument("--video", metavar="FILE.mp4", help="write a short film instead of the data set")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    return prepare_parser(parser)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = build_parser().parse_args()
    if arguments.video:
        write_film(arguments.video, arguments.size, arguments.seed)
        return
    generate_scenes(
        arguments.output,
        arguments.num_train,
        arguments.num_val,
        size=arguments.size,
        seed=arguments.seed,
        workers=arguments.workers,
    )


if __name__ == "__main__":
    run_cli(main)
