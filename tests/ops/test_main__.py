"""The report of ``python -m solo_d2.ops``, with every instruction set this machine has."""

import os
import subprocess
import sys

import pytest
import torch

from solo_d2.ops import __main__ as main_module
from solo_d2.ops import load_extension


def run_self_check(**environment):
    command = [sys.executable, "-W", "ignore", "-m", "solo_d2.ops"]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.skipif(load_extension() != "", reason="the compiled kernels are not built")
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_every_instruction_set_passes(capability):
    sets = {"AVX2": ["default", "avx2"], "AVX512": ["default", "avx2", "avx512"]}
    if capability not in sets.get(torch.backends.cpu.get_cpu_capability(), ["default"]):
        pytest.skip("PyTorch itself dies of instructions that the CPU does not have")
    done = run_self_check(ATEN_CPU_CAPABILITY=capability)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "self-check: passed" in done.stdout and "cpu: compiled" in done.stdout
    if capability == "default":
        assert "portable" in done.stdout


def test_a_wrong_kernel_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["solo_d2.ops"])
    monkeypatch.setattr(main_module, "matrix_nms", lambda masks, labels, scores, kernel: scores)
    assert main_module.main() == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_passes():
    done = run_self_check()
    assert done.returncode == 0 and "on cuda" in done.stdout, done.stdout
