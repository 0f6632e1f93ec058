import argparse
import os
import signal
import subprocess
import sys

import pytest
import torch
from torch.multiprocessing import ProcessExitedException

from solo_d2.engine.cli import (
    one_line,
    prepare_parser,
    resume_command,
    run_cli,
    run_reporting_errors,
    traceback_wanted,
)
from solo_d2.engine.interruption import Interrupted
from solo_d2.utils.atomic_file import atomic_write
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
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), 1),
        (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), 1),
        (RuntimeError("DataLoader worker (pid unknown) is gone: Connection reset by peer"), 1),
        (Interrupted(signal.SIGTERM), 143),
    ],
)
def test_one_line_and_an_exit_code(error, code, capsys):
    with pytest.raises(SystemExit) as caught:
        run_cli(raising(error))
    assert caught.value.code == code
    text = capsys.readouterr().err
    assert text.startswith(("error: ", "interrupted", "SIGTERM: stopped")) and text.count("\n") == 1


def test_a_very_long_line_keeps_both_ends(capsys):
    def main():
        raise InputError(f"image {'x' * 5000} does not exist")

    with pytest.raises(SystemExit):
        run_reporting_errors(main)
    line = capsys.readouterr().err
    assert line.startswith("error: image xxx") and line.endswith("xx does not exist\n") and len(line) < 2020


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
    assert ended.stderr.splitlines()[-1] == b"error: \\x1b[31mred \\udcff"  # after warnings of libraries


@pytest.mark.parametrize("code, expected", [(143, 143), (3, 1)])
def test_a_stopped_process_stops_its_launcher(code, expected, capsys):
    with pytest.raises(SystemExit) as caught:
        run_cli(raising(ProcessExitedException("x", 1, 3, code)))
    assert caught.value.code == expected and capsys.readouterr().err == ""


def test_an_error_while_closing_does_not_hide_the_first(capsys):
    def main():
        try:
            raise InputError("out/model.pth could not be written")
        finally:
            raise OSError(28, "No space left on device")

    with pytest.raises(SystemExit):
        run_cli(main)
    assert capsys.readouterr().err == "error: out/model.pth could not be written\n"


def test_a_loader_process_may_end_while_a_file_is_written(tmp_path, capsys):
    def main():
        with atomic_write(tmp_path / "model.pth", (RuntimeError,)):
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    with pytest.raises(SystemExit) as caught:
        run_cli(main)
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith(
        "error: a data-loader process ended (is killed by signal: Killed)"
    )


def test_the_pipe_of_a_dead_loader_process_is_not_the_reason(capsys):
    def main():
        try:
            raise ConnectionResetError(104, "Connection reset by peer")
        except ConnectionError:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")  # noqa: B904

    with pytest.raises(SystemExit) as caught:
        run_cli(main)
    assert caught.value.code == 1
    assert "a data-loader process ended (is killed by signal: Killed)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (
            "train_net.py --config-file a.yaml OUTPUT_DIR out",
            "python train_net.py --resume --config-file a.yaml OUTPUT_DIR out",
        ),
        ("train_net.py --resume OUTPUT_DIR out", "python train_net.py --resume OUTPUT_DIR out"),
        ("train_net.py OUTPUT_DIR other", "python train_net.py --resume OUTPUT_DIR other OUTPUT_DIR out"),
        ("/bin/solo-d2 train --num-gpus 2", "/bin/solo-d2 train --resume --num-gpus 2 OUTPUT_DIR out"),
        (
            "solo_d2/__main__.py train SEED 1",
            "python -m solo_d2 train --resume SEED 1 OUTPUT_DIR out",
        ),
    ],
)
def test_command_that_resumes(words, command, monkeypatch):
    monkeypatch.setattr(sys, "argv", words.split())
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    assert resume_command("out") == command
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert resume_command("out") == "the same command with --resume"
