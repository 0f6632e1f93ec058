"""One table for bug reports: versions, devices, and which ``detectron2`` this is."""

import importlib
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import numpy
import torch
from tabulate import tabulate

import detectron2

__all__ = ["collect_env_info"]

_PACKAGE = Path(detectron2.__file__).resolve().parent


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def find_mixture() -> list[str]:
    """Returns what hints at d2lite and the real Detectron2 being there together; [] = nothing."""
    hints = []
    if _is_installed("detectron2") and _is_installed("d2lite"):
        hints.append("both distributions d2lite and detectron2 are installed")
    compiled = [path.name for path in _PACKAGE.glob("_C*")]
    if compiled:
        hints.append(f"{compiled[0]} of the real Detectron2 is in {_PACKAGE}")
    for entry in sys.path:
        other = Path(entry or ".").resolve() / "detectron2"
        if other != _PACKAGE and (other / "__init__.py").is_file():
            hints.append(f"another detectron2 is in {other}")
    return hints


def _version(module_name: str) -> str:
    try:
        return str(getattr(importlib.import_module(module_name), "__version__", "unknown version"))
    except ImportError:
        return "not installed"


def collect_env_info() -> str:
    """Returns the table as text."""
    mixture = find_mixture()
    rows = [
        ("sys.platform", sys.platform),
        ("Python", sys.version.replace("\n", "")),
        ("numpy", numpy.__version__),
        ("detectron2", f"{detectron2.__version__} @{_PACKAGE}"),
        ("detectron2 kind", "d2lite (pure Python part of Detectron2, no compiled operators)"),
    ]
    if mixture:
        remedy = "pip uninstall d2lite and detectron2, then install one of the two"
        rows.append(("MIXED INSTALLATION", "; ".join(mixture) + ": " + remedy))
    rows += [
        ("PyTorch", f"{torch.__version__} @{Path(torch.__file__).parent}"),
        ("PyTorch built with CUDA", str(torch.version.cuda)),
        ("GPU available", str(torch.cuda.is_available())),
    ]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            major, minor = torch.cuda.get_device_capability(index)
            name = torch.cuda.get_device_name(index)
            rows.append((f"GPU {index}", f"{name} (arch={major}.{minor})"))
        rows.append(("CUDA_HOME", os.environ.get("CUDA_HOME", "not set")))
    rows += [(name, _version(name)) for name in ("fvcore", "iopath", "pycocotools", "cv2")]
    rows += [("Pillow", _version("PIL")), ("CPU", f"{platform.machine()}, {os.cpu_count()} cores")]
    return tabulate(rows) + "\n"


if __name__ == "__main__":
    print(collect_env_info())
