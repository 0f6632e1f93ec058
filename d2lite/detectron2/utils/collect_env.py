"""A table for bug reports: versions, devices, and the kind of ``detectron2``."""

import importlib
import os
import platform
import sys
from pathlib import Path

import numpy
import torch
from tabulate import tabulate

import detectron2


def _version(module_name: str) -> str:
    try:
        return str(getattr(importlib.import_module(module_name), "__version__", "unknown version"))
    except ImportError:
        return "not installed"


def collect_env_info() -> str:
    """Returns the table as text."""
    rows = [
        ("sys.platform", sys.platform),
        ("Python", sys.version.replace("\n", "")),
        ("numpy", numpy.__version__),
        ("detectron2", f"{detectron2.__version__} @{Path(detectron2.__file__).resolve().parent}"),
        ("detectron2 kind", "d2lite (pure Python part of Detectron2, no compiled operators)"),
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
