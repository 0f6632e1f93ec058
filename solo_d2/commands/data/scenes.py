"""Makes the built-in data set, a COCO-format set of synthetic scenes.

solo-d2 data scenes
solo-d2 data scenes --output datasets/scenes --num-train 5000 --size 256
solo-d2 data scenes --video film.mp4
"""

import argparse

from solo_d2.engine import cli
from solo_d2.engine.flag_types import whole
from solo_d2.scenes import generate_scenes, write_film


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("--output", default="datasets/scenes", help="folder to make (%(default)s)")
    parser.add_argument("--num-train", type=whole(0), default=2000, help="training images (%(default)s)")
    parser.add_argument("--num-val", type=whole(0), default=200, help="validation images (%(default)s)")
    parser.add_argument("--size", type=whole(1), default=128, help="image side in pixels (%(default)s)")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the whole set (%(default)s)")
    parser.add_argument("--video", metavar="FILE.mp4", help="write a short film instead of the data set")
    parser.add_argument("--workers", type=whole(0), help="processes (default: one per core)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Makes the data set, or with ``--video`` a film."""
    cli.show_log()
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
