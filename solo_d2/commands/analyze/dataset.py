"""Prints how large and crowded a data set's instances are, and the SOLOv2 settings that suit it.

solo-d2 analyze dataset --json annotations.json --images images
solo-d2 analyze dataset --json annotations.json --images images --min-size 512 --levels 4
"""

import argparse

from solo_d2.config import get_cfg
from solo_d2.data.analysis.recommendation import recommend
from solo_d2.data.analysis.report import format_report
from solo_d2.data.analysis.statistics import tabulate_instances
from solo_d2.data.datasets.coco_format import read_coco
from solo_d2.engine import cli
from solo_d2.engine.flag_types import whole


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("--json", required=True, help="COCO instance annotations")
    parser.add_argument("--images", required=True, help="folder that its file names are relative to")
    parser.add_argument("--min-size", type=whole(1), help="short side of the input (default: chosen)")
    parser.add_argument("--max-size", type=whole(1), help="longest side (default: 5/3 of the short one)")
    parser.add_argument("--levels", type=whole(1, 5), default=5, help="pyramid levels, 1 to 5 (%(default)s)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the statistics of a data set and the settings that suit it."""
    cli.show_log()
    content, _ = read_coco(arguments.json, arguments.images)
    table = tabulate_instances(content)
    default = get_cfg().MODEL.SOLOV2
    grids, ranges = default.NUM_GRIDS[: arguments.levels], default.FPN_SCALE_RANGES
    advice = recommend(table, grids, ranges[-1][1], arguments.min_size, arguments.max_size)
    print(format_report(table, advice, grids, ranges[: arguments.levels]))
