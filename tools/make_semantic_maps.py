#!/usr/bin/env python
"""Makes Panoptic-FPN's semantic maps (0 things, 1 and up stuff, 255 void) from a panoptic annotation set.

Only Detectron2's "separated" data sets need them; the others here read the panoptic PNG files themselves.

python tools/make_semantic_maps.py --json datasets/coco/annotations/panoptic_val2017.json \\
    --panoptic datasets/coco/panoptic_val2017 --output datasets/coco/panoptic_stuff_val2017
"""

from solo_d2.commands.data import semantic_maps
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 data semantic-maps``."""
    semantic_maps.run(semantic_maps.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
