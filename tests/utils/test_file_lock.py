"""Locks on files, between processes."""

import subprocess
import sys
import time

import pytest

from solo_d2.utils import file_lock
from solo_d2.utils.file_lock import lock_file

# Locks a file, starts a process that sleeps, says so, and waits for its input to end.
HOLDER = """
import subprocess, sys
from solo_d2.utils.file_lock import lock_file
file = open(sys.argv[1], "a")
assert lock_file(file, inherited=sys.argv[2] == "inherited")
child = subprocess.Popen(["sleep", "1000"], pass_fds=[file.fileno()])
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Function that starts a process which holds the lock of ``tmp_path / "lock"``."""
    started = []

    def start(word):
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), word]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append((process, int(process.stdout.readline())))
        return process

    yield start
    for process, child in started:
        process.kill()
        process.wait()
        subprocess.run(["kill", "-9", str(child)])


@pytest.mark.parametrize("word", ["own", "inherited"])
def test_a_lock_ends_with_its_process_or_with_the_last_that_inherited_it(holder, tmp_path, word):
    process = holder(word)
    with open(tmp_path / "lock", "a") as file:
        assert not lock_file(file, inherited=word == "inherited")
        process.kill()
        process.wait()
        assert lock_file(file, inherited=word == "inherited") == (word == "own")


def test_waits_while_it_is_patient(holder, tmp_path):
    process = holder("own")
    with open(tmp_path / "lock", "a") as file:
        start = time.monotonic()
        assert not lock_file(file, patience=0.3) and time.monotonic() - start >= 0.3
        process.stdin.close()
        assert lock_file(file, patience=60)


def test_without_posix_nothing_is_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(file_lock, "fcntl", None)
    with open(tmp_path / "lock", "a") as file:
        assert lock_file(file)
