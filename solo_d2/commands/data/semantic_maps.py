"""Makes Panoptic-FPN's semantic maps (0 things, 1 and up stuff, 255 void) from a panoptic annotation set.

Only Detectron2's "separated" data sets need them; the others here read the panoptic PNG files themselves.

solo-d2 data semantic-maps --json datasets/coco/annotations/panoptic_val2017.json \\
    --panoptic datasets/coco/panoptic_val2017 --output datasets/coco/panoptic_stuff_val2017
"""

import argparse

from solo_d2.data.datasets.semantic_maps import write_semantic_maps
from solo_d2.engine import cli
from solo_d2.engine.flag_types import whole


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("--json", required=True, help="COCO panoptic annotations")
    parser.add_argument("--panoptic", required=True, help="folder of their PNG files")
    parser.add_argument("--output", required=True, help="folder to fill")
    parser.add_argument("--workers", type=whole(0), help="processes (default: one per core)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the maps."""
    count = write_semantic_maps(arguments.json, arguments.panoptic, arguments.output, arguments.workers)
    print(f"{count} semantic maps -> {arguments.output}")
