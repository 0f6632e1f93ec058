"""Locks on files, by which programs keep a folder to themselves."""

import logging
import time
from typing import IO

try:
    import fcntl
except ImportError:  # no POSIX: nothing guards a folder
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_PAUSE = 0.1  # seconds between two attempts


def lock_file(file: IO, *, inherited: bool = False, patience: float = 0.0) -> bool:
    """Locks an open file until it is closed or its process ends.

    Args:
        file: The file, open for writing.
        inherited: Whether processes that this one starts hold the lock, too, until the last has ended.
        patience: Seconds to wait while another program holds the lock.

    Returns:
        False if another program holds the lock; True also if the file system has no locks, with a warning.
    """
    if fcntl is None:
        return True
    lock = fcntl.flock if inherited else fcntl.lockf
    deadline = time.monotonic() + patience
    while True:
        try:
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except (BlockingIOError, PermissionError):  # systems differ in which one says that it is held
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        except OSError as error:  # some network file systems
            logger.warning("%s cannot be locked (%s): do not start a second run there", file.name, error)
            return True
