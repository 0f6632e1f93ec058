#!/usr/bin/env python
"""Makes Panoptic-FPN's semantic maps (0 things, 1 and up stuff, 255 void) from a panoptic annotation set.

Only Detectron2's "separated" data sets need them; the others here read the panoptic PNG files themselves.

python tools/make_semantic_maps.py --json datasets/coco/annotations/panoptic_val2017.json \\
    --panoptic datasets/coco/panoptic_val2017 --output datasets/coco/panoptic_stuff_val2017
"""

import argparse

from solo_d2.data.datasets.semantic_maps import write_semantic_maps
from solo_d2.engine.cli import prepare_parser, run_cli


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", required=True, help="COCO panoptic annotations")
    parser.add_argument("--panoptic", required=True, help="folder of their PNG files")
    parser.add_argument("--output", required=True, help="folder to fill")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    return prepare_parser(parser)


def main() -> None:
    arguments = build_parser().parse_args()
    count = write_semantic_maps(arguments.json, arguments.panoptic, arguments.output, arguments.workers)
    print(f"{count} semantic maps -> {arguments.output}")


if __name__ == "__main__":
    run_cli(main)
