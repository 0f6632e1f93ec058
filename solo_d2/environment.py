"""Prints the environment, for bug reports: ``python -m solo_d2.environment``, the same as ``solo-d2 env``."""

from .commands import env
from .engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 env``."""
    env.run(env.build_parser().parse_args())


if __name__ == "__main__":
    run_cli(main)
