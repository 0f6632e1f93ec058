"""Numbers of flags: every command refuses what cannot be, and names the flag."""

import argparse
import importlib
import re

import pytest

from solo_d2.commands.dispatch import COMMANDS
from solo_d2.engine import flag_types
from solo_d2.utils.errors import InputError


@pytest.mark.parametrize(
    ("read", "text", "answer"),
    [
        (flag_types.whole(1), "3", 3),
        (flag_types.whole(1), "0", "0: it must be at least 1"),
        (flag_types.whole(0), "-1", "-1: it must be at least 0"),
        (flag_types.whole(1, 5), "6", "6: it must be 1 to 5"),
        (flag_types.whole(0), "1.5", "'1.5' is not a whole number"),
        (flag_types.share, "0.5", 0.5),
        (flag_types.share, "nan", "nan: it must be 0 to 1"),
        (flag_types.share, "20", "20.0: it must be 0 to 1"),
        (flag_types.share, "much", "'much' is not a number"),
        (flag_types.real(-1, 1), "-0.5", -0.5),
        (flag_types.real(-1, 1), "-inf", "-inf: it must be -1 to 1"),
    ],
)
def test_numbers(read, text, answer):
    if isinstance(answer, str):
        with pytest.raises(argparse.ArgumentTypeError, match=f"^{re.escape(answer)}$"):
            read(text)
    else:
        assert read(text) == answer


LAUNCH_FLAGS = ("--num-gpus", "--num-machines", "--machine-rank")  # Detectron2's own, checked at launch


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_names_a_flag_whose_number_cannot_be(name):
    module = importlib.import_module(f"solo_d2.commands.{name.replace(' ', '.').replace('-', '_')}")
    parser = module.build_parser()
    for action in parser._actions:
        action.required = False
    numeric = [action for action in parser._actions if _is_numeric(action)]
    for action in numeric:
        flag = action.option_strings[0]
        if name in ("train", "eval") and flag in LAUNCH_FLAGS:
            continue
        assert action.type not in (int, float), f"{flag}: engine.flag_types has the types of numbers"
        for value in ("nan", "-1000000"):
            with pytest.raises(InputError, match=f"argument {flag}: .*{value}"):
                parser.parse_args([f"{flag}={value}"])


def _is_numeric(action):
    """Returns True for a flag that takes a number."""
    try:
        return (
            bool(action.option_strings)
            and callable(action.type)
            and isinstance(action.type("1"), int | float)
        )
    except (argparse.ArgumentTypeError, InputError):
        return False
