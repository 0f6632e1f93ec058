"""Commands as a user calls them."""

import sys

import pytest

from solo_d2.commands.dispatch import main
from solo_d2.engine.cli import run_cli


@pytest.fixture
def run_command(monkeypatch):
    """``run_command("data scenes", "--size", 64)`` runs ``solo-d2 data scenes --size 64`` in this process."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", ["solo-d2", *name.split(), *map(str, arguments)])
        run_cli(main)

    return run
