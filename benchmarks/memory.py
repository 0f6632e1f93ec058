"""Extra peak memory of one call."""

from collections.abc import Callable
from pathlib import Path

import torch


def peak_extra_mb(function: Callable[[], object], device: str = "cpu") -> float:
    """Returns the peak memory of a call beyond the memory in use before it, in MB (2^20 bytes).

    On a GPU PyTorch's allocated memory; on a CPU the process's resident memory, as Linux accounts for it.
    """
    function()  # memory that stays allocated, such as caches, is not counted
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the memory that is resident now
    before = _resident_mb("VmRSS")
    function()
    return _resident_mb("VmHWM") - before


def _resident_mb(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024
