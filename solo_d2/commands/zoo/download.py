"""Downloads published models, for use without a network.

solo-d2 zoo download mmdet/solov2_R50_3x original/solov2_R50_3x

The files are kept in the cache, which the environment variable FVCORE_CACHE moves.
"""

import argparse

from solo_d2.engine import cli
from solo_d2.model_zoo import load_catalogue
from solo_d2.utils.addresses import fetch_address


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("names", nargs="+", metavar="NAME", help="a name of solo-d2 zoo list")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the path of each file."""
    cli.show_log()
    for published in [load_catalogue().find(name) for name in arguments.names]:
        print(fetch_address(published.address))
