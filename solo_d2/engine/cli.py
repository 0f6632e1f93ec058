"""Command-line parsers and one-line errors without a traceback."""

import argparse
import io
import logging
import os
import re
import shlex
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypeVar

from torch.multiprocessing import ProcessExitedException

from detectron2.utils import comm
from solo_d2.utils.errors import InputError, printable

from .interruption import EXIT_SIGNAL, Interrupted

TRACEBACK_FLAG = "--traceback"
TRACEBACK_ENV = "SOLO_D2_TRACEBACK"
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

# OSError: the system reports a missing file, a full disk, or similar; its text gives the details.
USER_ERRORS = (InputError, OSError)
EXPLAINED_ERRORS = (*USER_ERRORS, FloatingPointError)

_LONGEST_LINE, _LONGEST_END = 2000, 500  # characters
# What a launcher sets; its command line is not known here.
_LAUNCHER_VARIABLES = ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS")
_DEAD_LOADER = re.compile(r"DataLoader worker \(pid\(?s?\)?:? ?[\w, ]+\) (.+)")
# What gloo and NCCL say when another process of the job has ended.
_LOST_PEER = re.compile(
    r"closed by (remote )?peer|reset by peer|Broken pipe|remote process exited|"
    r"connection (was )?(closed|refused|reset)|failed to recv|Socket Timeout",
    re.IGNORECASE,
)

Result = TypeVar("Result")


def traceback_wanted() -> bool:
    """Returns True if ``--traceback`` or ``SOLO_D2_TRACEBACK=1`` requests full tracebacks."""
    return os.environ.get(TRACEBACK_ENV, "") not in ("", "0")


def prepare_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds ``--traceback`` and turns argparse's usage dumps into one ``InputError`` line.

    Args:
        parser: Parser of an entry point; changed in place.

    Returns:
        The same parser.
    """

    def error(message: str) -> NoReturn:
        raise InputError(f"{message} (--help lists the flags)")

    parser.error = error  # type: ignore[method-assign]
    parser.add_argument(
        TRACEBACK_FLAG,
        action="store_true",
        help=f"show Python tracebacks of errors (or set {TRACEBACK_ENV}=1)",
    )
    return parser


def build_parser(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser, see :func:`prepare_parser`, whose help keeps the description's lines."""
    return prepare_parser(
        argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    )


def command_line() -> list[str]:
    """Returns the command that starts this program again."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        return ["python", "-m", script.parent.name, *sys.argv[1:]]
    return [*(["python"] if script.suffix == ".py" else []), *sys.argv]


def resume_command(output_dir: str) -> str:
    """Returns the command that continues this program's training.

    Args:
        output_dir: Its folder, which may not be the one that the command line names.
    """
    if any(name in os.environ for name in _LAUNCHER_VARIABLES):
        return "the same command with --resume"
    words = command_line()
    if "--resume" not in words:
        program = words.index("-m") + 3 if "-m" in words[:2] else 2
        first_flag = next((i for i, word in enumerate(words) if word.startswith("--")), program)
        words.insert(first_flag, "--resume")
    return shlex.join(words if output_dir in words else [*words, "OUTPUT_DIR", output_dir])


def show_log() -> None:
    """Prints messages of the log, level INFO and above, as plain lines on stderr."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")


def one_line(error: BaseException) -> str:
    """Returns an error as one line, also if a data-loader process wrapped it in a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if any("Original Traceback" in line for line in lines):
        return re.sub(r"^[\w.]+(Error|Exception): ", "", lines[-1])
    return " ".join(lines)


def shortened(line: str) -> str:
    """Returns a line without its middle if it is very long, as with names of thousands of characters."""
    if len(line) <= _LONGEST_LINE:
        return line
    return f"{line[: _LONGEST_LINE - _LONGEST_END]} ... {line[-_LONGEST_END:]}"


def explanation(error: BaseException) -> str:
    """Returns the line that explains an error to a user; "" if only a traceback can."""
    if isinstance(error, EXPLAINED_ERRORS):
        return one_line(error)
    if not isinstance(error, RuntimeError):
        return ""
    dead = _DEAD_LOADER.search(str(error))
    if dead:
        return (
            f"a data-loader process ended ({dead[1].split('. ')[0].rstrip('.')}), as happens if memory runs "
            "out: set a lower DATALOADER.NUM_WORKERS; --resume continues from the last checkpoint"
        )
    if has_lost_peer(error):
        return "another process of this job ended, its own message says why"
    return ""


def has_lost_peer(error: Exception) -> bool:
    """Returns whether an error means that another process of the job has ended."""
    is_network = isinstance(error, RuntimeError) and comm.get_world_size() > 1
    return is_network and bool(_LOST_PEER.search(str(error)))


def run_reporting_errors(main: Callable[..., Result], *args: object) -> Result:
    """Calls ``main(*args)``; an expected error becomes one line on stderr and ``SystemExit``.

    Args:
        main: Function to run; in a distributed job every rank runs this wrapper.
        args: Its positional arguments.

    Returns:
        The function's result.

    Raises:
        SystemExit: Code 2 for a user's mistake, 1 for a training that failed, 128 + N for signal N.
    """
    logging.getLogger("detectron2.engine.train_loop").addFilter(_is_unexplained)
    _quiet_writers()
    try:
        return main(*args)
    except Interrupted as stop:
        if comm.is_main_process():
            print(stop, file=sys.stderr, flush=True)
        sys.exit(stop.exit_code)
    except ProcessExitedException as error:
        if error.signal_name:  # a killed process could not report anything itself
            print(f"error: {killed_by(error.signal_name)}", file=sys.stderr, flush=True)
        known = error.exit_code == EXIT_USAGE or error.exit_code > EXIT_SIGNAL
        sys.exit(error.exit_code if known else EXIT_FAILURE)
    except Exception as error:
        error = _first_of(error)
        line = explanation(error)
        if not line:
            raise
        if traceback_wanted():
            traceback.print_exc()
        rank = comm.get_rank()
        prefix = f"[rank {rank}] " if rank else ""
        print(f"{prefix}error: {shortened(printable(line))}", file=sys.stderr, flush=True)
        sys.exit(EXIT_USAGE if isinstance(error, USER_ERRORS) else EXIT_FAILURE)


def killed_by(signal_name: str) -> str:
    """Describes a process that a signal ended."""
    return f"a process was ended by {signal_name}" + (
        ", as the system does when memory runs out" if signal_name == "SIGKILL" else ""
    )


def _first_of(error: Exception) -> Exception:
    """Returns the explained error that led to an error.

    Writers that close after an error may fail, too. PyTorch raises the death of a loader process anywhere, so
    that it looks like the failure of whatever the main process did then, or before, as a broken pipe.
    """
    first, current, hidden = error, error, False
    while isinstance(earlier := current.__cause__ or current.__context__, Exception):
        hidden |= current.__suppress_context__
        is_told = explanation(earlier) and not hidden and not _DEAD_LOADER.search(str(first))
        if is_told or _DEAD_LOADER.search(str(earlier)):
            first = earlier
        current = earlier
    return first


def _quiet_writers() -> None:
    """Keeps log files and TensorBoard from printing tracebacks if the disk is full: the main thread tells."""
    logging.raiseExceptions = traceback_wanted()
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _report_thread


def _report_thread(failure: threading.ExceptHookArgs) -> None:
    if traceback_wanted() or not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)


def _is_unexplained(record: logging.LogRecord) -> bool:
    """Returns True if the training loop may log an exception; expected ones become one line here."""
    error = record.exc_info[1] if record.exc_info else None
    return traceback_wanted() or error is None or not explanation(error)


def run_cli(main: Callable[[], object]) -> None:
    """Runs an entry point: ``if __name__ == "__main__": run_cli(main)``.

    ``--traceback`` may stand anywhere on the command line, also after ``KEY VALUE`` pairs. Ctrl-C ends with
    one line, too.
    """
    for stream in (sys.stdout, sys.stderr):  # names of files may have bytes that are no text
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # a stream that claims to be seekable and is not
                stream.reconfigure(errors="backslashreplace")
    if TRACEBACK_FLAG in sys.argv:
        sys.argv.remove(TRACEBACK_FLAG)
        os.environ[TRACEBACK_ENV] = "1"
    try:
        run_reporting_errors(main)
    except KeyboardInterrupt:
        if traceback_wanted():
            raise
        print("interrupted", file=sys.stderr, flush=True)
        sys.exit(EXIT_INTERRUPTED)
