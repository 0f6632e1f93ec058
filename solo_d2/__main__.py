"""The console script ``solo-d2``, also as ``python -m solo_d2``."""

from solo_d2.commands.dispatch import main
from solo_d2.engine.cli import run_cli


def console_script() -> None:
    """Runs the command that the command line names."""
    run_cli(main)


if __name__ == "__main__":
    console_script()
