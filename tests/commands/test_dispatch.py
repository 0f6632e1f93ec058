"""The console script: its commands, its help, and what it says of a name that it does not know."""

import subprocess
import sys
from importlib import import_module

import pytest

from solo_d2 import __version__
from solo_d2.commands.dispatch import COMMANDS, find_command


def test_help_lists_every_command(run_command, capsys):
    run_command("--help")
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)
    run_command("data", "-h")
    said = capsys.readouterr().out
    assert "data scenes" in said and "train" not in said


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_shows_how_it_is_called(run_command, capsys, name):
    with pytest.raises(SystemExit) as info:
        run_command(name, "--help")
    said = capsys.readouterr().out
    assert info.value.code == 0 and said.startswith("usage:") and f"solo-d2 {name}" in said
    module = import_module(f"solo_d2.commands.{name.replace(' ', '.').replace('-', '_')}")
    assert "solo-d2" in (said if name == "predict" else module.__doc__)


def test_only_the_named_commands_module_is_imported():
    code = (
        "import sys; sys.argv = ['solo-d2', '--help']\n"
        "from solo_d2.__main__ import console_script\nconsole_script()\n"
        "print([name for name in sys.modules if name.startswith('solo_d2.commands.')])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("['solo_d2.commands.dispatch']\n"), done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", "error: there is no command trian: did you mean train?"),
        ("xyz --flag", "error: there is no command xyz: solo-d2 --help lists the commands"),
        ("data scense", "error: there is no command data scense: did you mean data scenes?"),
        ("analyze", "error: name a command: analyze dataset, analyze errors"),
        ("", "error: name a command: solo-d2 --help lists them"),
        ("data split --json x", "error: the following arguments are required: --output, --by, --fraction"),
    ],
)
def test_mistakes_are_one_line(run_command, capsys, words, message):
    with pytest.raises(SystemExit) as info:
        run_command(words)
    error = capsys.readouterr().err
    assert info.value.code == 2 and error.startswith(message) and error.count("\n") == 1


def test_words_after_the_command_are_its_own():
    assert find_command(["train", "--resume", "A", "b"]) == ("train", ["--resume", "A", "b"])
    assert find_command(["data", "scenes", "--size", "8"]) == ("data scenes", ["--size", "8"])


def test_version(run_command, capsys):
    run_command("--version")
    assert capsys.readouterr().out == f"{__version__}\n"
