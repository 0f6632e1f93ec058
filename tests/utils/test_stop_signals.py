"""Loader processes and the signals of their job."""

import os
import signal
import subprocess
import sys
import time

import pytest

# A loader process under a parent that does what its input says.
PARENT = """
import os, signal, sys, time
from solo_d2.utils.stop_signals import STOP_SIGNALS, obey_only_parent
ready, readied = os.pipe()
child = os.fork()
if child == 0:
    obey_only_parent()
    os.write(readied, b"1")
    time.sleep(1000)
os.read(ready, 1)
print(child, *map(int, STOP_SIGNALS), flush=True)
sys.stdin.readline()
assert os.waitpid(child, os.WNOHANG) == (0, 0)
os.kill(child, signal.SIGTERM)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="the sender of a signal is not known here")
def test_only_the_parent_can_end_a_loader_process():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child, *numbers = map(int, parent.stdout.readline().split())
    assert len(numbers) == 3
    for number in numbers * 2:
        os.kill(child, number)
    time.sleep(0.5)
    parent.communicate("\n", timeout=60)
    assert parent.returncode == 0
