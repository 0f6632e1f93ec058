import argparse
import os
import subprocess
import sys

import pytest
import torch
from torch.multiprocessing import ProcessExitedException

from solo_d2.engine.cli import one_line, prepare_parser, run_cli, run_reporting_errors, traceback_wanted
from solo_d2.utils.errors import InputError


@pytest.fixture(autouse=True)
def no_traceback_wish(monkeypatch):
    monkeypatch.setenv("SOLO_D2_TRACEBACK", "")


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("wrong\nflag"), 2),
        (FileNotFoundError(2, "No such file", "a.png"), 2),
        (OSError(28, "No space left on device"), 2),
        (KeyboardInterrupt(), 130),
        (ProcessExitedException("x", 1, 3, -9, "SIGKILL"), 1),
        (FileExistsError(17, "File exists", "a.png"), 2),
        (NotADirectoryError(20, "Not a directory", "a.png/out"), 2),
        (FloatingPointError("loss is NaN"), 1),
    ],
)
def test_one_line_and_an_exit_code(error, code, capsys):
    with pytest.raises(SystemExit) as caught:
        run_cli(raising(error))
    assert caught.value.code == code
    text = capsys.readouterr().err
    assert text.startswith(("error: ", "interrupted")) and text.count("\n") == 1


def test_a_process_that_said_why_it_failed_is_believed(capsys):
    with pytest.raises(SystemExit) as caught:
        run_cli(raising(ProcessExitedException("x", 1, 3, 2)))
    assert caught.value.code == 2 and capsys.readouterr().err == ""


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_cli(raising(ZeroDivisionError()))


def test_traceback_flag_anywhere(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "SOLVER.BASE_LR", "1", "--traceback"])
    with pytest.raises(SystemExit):
        run_cli(raising(InputError("wrong flag")))
    assert traceback_wanted() and "--traceback" not in sys.argv
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_value_is_passed_on():
    assert run_reporting_errors(max, 1, 2) == 2


def test_parser_errors_are_one_input_error():
    parser = prepare_parser(argparse.ArgumentParser())
    with pytest.raises(InputError, match="--colour"):
        parser.parse_args(["--colour"])


class Broken(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise InputError("a.png is no image")


def test_message_of_a_loader_process_is_unwrapped():
    with pytest.raises(InputError) as caught:
        next(iter(torch.utils.data.DataLoader(Broken(), num_workers=1)))
    assert one_line(caught.value) == "a.png is no image"
    assert os.linesep not in one_line(caught.value)


def test_names_that_are_no_text_and_control_characters_are_printed_as_escapes():
    program = "import os\nfrom solo_d2.engine.cli import run_cli\n" + (
        "def main():\n    print('name \\udcff')\n    raise OSError('\\x1b[31mred \\udcff')\nrun_cli(main)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment)
    assert ended.stdout == b"name \\udcff\n" and ended.returncode == 2
    assert ended.stderr == b"error: \\x1b[31mred \\udcff\n"
