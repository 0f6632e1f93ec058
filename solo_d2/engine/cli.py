"""Command lines: parsers, and errors as one line without a traceback."""

import argparse
import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from torch.multiprocessing import ProcessExitedException

from detectron2.utils import comm
from solo_d2.utils.errors import InputError, printable

TRACEBACK_FLAG = "--traceback"
TRACEBACK_ENV = "SOLO_D2_TRACEBACK"
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

# OSError: the system refused something, such as a missing file or a full disk; its text says which.
USER_ERRORS = (InputError, OSError)
EXPLAINED_ERRORS = (*USER_ERRORS, FloatingPointError)

Result = TypeVar("Result")


def traceback_wanted() -> bool:
    """Returns whether ``--traceback`` or ``SOLO_D2_TRACEBACK=1`` asked for full tracebacks."""
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
    """Returns the words that start this program again."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        return ["python", "-m", script.parent.name, *sys.argv[1:]]
    return [*(["python"] if script.suffix == ".py" else []), *sys.argv]


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


def run_reporting_errors(main: Callable[..., Result], *args: object) -> Result:
    """Calls ``main(*args)``; an explained error becomes one line on stderr and ``SystemExit``.

    Args:
        main: Function to run; in a distributed job every rank runs this wrapper.
        args: Its positional arguments.

    Returns:
        The function's result.

    Raises:
        SystemExit: Code 2 for a user's mistake, 1 for a training that failed.
    """
    logging.getLogger("detectron2.engine.train_loop").addFilter(_is_unexplained)
    try:
        return main(*args)
    except EXPLAINED_ERRORS as error:
        if traceback_wanted():
            traceback.print_exc()
        rank = comm.get_rank()
        prefix = f"[rank {rank}] " if rank else ""
        print(f"{prefix}error: {printable(one_line(error))}", file=sys.stderr, flush=True)
        sys.exit(EXIT_USAGE if isinstance(error, USER_ERRORS) else EXIT_FAILURE)
    except ProcessExitedException as error:
        if error.signal_name:  # such a process could say nothing itself
            print(f"error: {killed_by(error.signal_name)}", file=sys.stderr, flush=True)
        sys.exit(EXIT_USAGE if error.exit_code == EXIT_USAGE else EXIT_FAILURE)


def killed_by(signal_name: str) -> str:
    """Describes a process that a signal ended."""
    return f"a process was ended by {signal_name}" + (
        ", as the system does when memory runs out" if signal_name == "SIGKILL" else ""
    )


def _is_unexplained(record: logging.LogRecord) -> bool:
    """Returns whether the training loop may log an exception; those that become one line here stay out."""
    error = record.exc_info[1] if record.exc_info else None
    return traceback_wanted() or not isinstance(error, EXPLAINED_ERRORS)


def run_cli(main: Callable[[], object]) -> None:
    """Runs an entry point: ``if __name__ == "__main__": run_cli(main)``.

    ``--traceback`` may stand anywhere on the command line, also after ``KEY VALUE`` pairs. Ctrl-C ends with
    one line, too.
    """
    for stream in (sys.stdout, sys.stderr):  # names of files may have bytes that are no text
        if isinstance(stream, io.TextIOWrapper):
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
