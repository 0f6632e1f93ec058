"""Shows where a published model comes from and where its file is.

solo-d2 zoo show mmdet/solov2_R50_3x
"""

import argparse

from solo_d2.engine import cli
from solo_d2.model_zoo import load_catalogue
from solo_d2.model_zoo.handler import cached_path, local_copy


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("name", metavar="NAME", help="a name of solo-d2 zoo list")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the facts."""
    published = load_catalogue().find(arguments.name)
    start = published.sha256_start
    facts = {
        "method": published.method or "backbone",
        "backbone": published.backbone,
        "training": published.schedule,
        "published AP": published.published_ap,
        "source": f"{published.source.title}, {published.source.repository}",
        "license": published.source.license,
        "MODEL.WEIGHTS": published.address,
        "address": published.url,
        "size": f"{published.size_mib:.1f} MiB" if published.size_mib else "unknown",
        "SHA-256": published.sha256 or (start and f"{start}...") or "unknown",
        "file": local_copy(published) or f"{cached_path(published)} (not downloaded yet)",
    }
    for name, value in facts.items():
        print(f"{name}: {'not stated' if value in (None, '') else value}")
