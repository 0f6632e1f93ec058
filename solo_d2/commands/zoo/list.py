"""Lists published models and backbones.

solo-d2 zoo list
solo-d2 zoo list SOLOv2 R50 3x

Words leave only the lines that have all of them. ``zoo show`` names the license.
"""

import argparse

from tabulate import tabulate

from solo_d2.engine import cli
from solo_d2.model_zoo import load_catalogue
from solo_d2.utils.errors import InputError


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("words", nargs="*", metavar="WORD", help="show lines with this word")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints one line per file."""
    catalogue = load_catalogue()
    rows = [
        (
            file.name,
            file.method or "backbone",
            file.backbone,
            file.schedule,
            file.published_ap,
            f"{file.size_mib:.0f} MiB" if file.size_mib else "unknown",
        )
        for file in [*catalogue.models.values(), *catalogue.backbones.values()]
    ]
    wanted = [word.lower() for word in arguments.words]
    rows = [row for row in rows if all(word in " ".join(map(str, row)).lower() for word in wanted)]
    if not rows:
        raise InputError(f"no published model has all of {', '.join(arguments.words)}: leave a word out")
    headers = ["name", "method", "backbone", "training", "published AP", "size"]
    print(tabulate(rows, headers, missingval="-"))
