"""Prints the environment, for bug reports: Detectron2, kernels, versions and GPUs.

solo-d2 env
"""

import argparse
import importlib.metadata
import importlib.util
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from solo_d2.engine import cli
from solo_d2.ops._extension import active_kernels, load_extension
from solo_d2.provider import HOW_TO_INSTALL

REPORTED_PACKAGES = (
    "solo_d2",
    "torch",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "pillow",
    "pycocotools",
    "faster-coco-eval",
    "fvcore",
    "iopath",
    "safetensors",
    "tensorboard",
)
# Marks of the two providers of ``detectron2``: a folder that only the real one has, and a word in the
# ``__init__.py`` of d2lite.
REAL_ONLY = "modeling/roi_heads"
LITE_NAME = "d2lite"


@dataclass(frozen=True)
class Detectron2Copy:
    """One place that provides ``detectron2``.

    Attributes:
        folder: The package's folder.
        kind: "Detectron2", "d2lite", or "Detectron2 and d2lite mixed in one folder".
        version: The version in its ``__init__.py``; "" if there is none.
    """

    folder: Path
    kind: str
    version: str


def detectron2_copies(search_path: Iterable[str] | None = None) -> list[Detectron2Copy]:
    """Returns all importable copies, the active one first.

    Args:
        search_path: Folders to look through; None means the active package and ``sys.path``.
    """
    if search_path is None:
        spec = importlib.util.find_spec("detectron2")
        active = [str(Path(place).parent) for place in ((spec and spec.submodule_search_locations) or ())]
        search_path = [*active, *(place or "." for place in sys.path)]
    folders = [Path(place).resolve() / "detectron2" for place in search_path]
    found = dict.fromkeys(folder for folder in folders if (folder / "__init__.py").is_file())
    return [_inspect(folder) for folder in found]


def _inspect(folder: Path) -> Detectron2Copy:
    """Inspects a folder without importing it, because a mixture may not be importable."""
    text = (folder / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r"__version__ = [\"'](.+?)[\"']", text)
    is_real = (folder / REAL_ONLY).is_dir() or any(folder.glob("_C*"))
    kind = LITE_NAME if LITE_NAME in text else "Detectron2"
    if LITE_NAME in text and is_real:
        kind = "Detectron2 and d2lite mixed in one folder"
    return Detectron2Copy(folder, kind, version.group(1) if version else "")


def detectron2_distributions() -> list[str]:
    """Returns the installed distributions that provide ``detectron2``, as "name version"."""
    names = importlib.metadata.packages_distributions().get("detectron2", [])
    return [f"{name} {importlib.metadata.version(name)}" for name in sorted(set(names))]


def mixture(copies: list[Detectron2Copy], distributions: list[str]) -> str:
    """Returns one line that describes a mixture and its fix; "" without one."""
    mixed = [copy for copy in copies if "mixed" in copy.kind]
    if len(distributions) > 1 or mixed:
        named = " and ".join(distributions) or str(mixed[0].folder)
        return (
            f"MIXTURE: {named} are in one folder. To fix it: pip uninstall -y d2lite detectron2, "
            "then install one of the two"
        )
    if len({copy.kind for copy in copies}) > 1:
        shadowed = ", ".join(str(copy.folder) for copy in copies[1:])
        return f"MIXTURE: {copies[0].folder} hides {shadowed}. To fix it: remove one of them"
    return ""


def report() -> list[tuple[str, str]]:
    """Returns (name, value) rows: Detectron2, kernels, versions and GPUs."""
    copies = detectron2_copies()
    distributions = detectron2_distributions()
    rows = [("detectron2", f"not importable; {HOW_TO_INSTALL}")]
    if copies:
        named = ", ".join(distributions) or "not installed, found on the path"
        what = f"{copies[0].kind} {copies[0].version} ({named})"
        rows = [("detectron2", what), ("its folder", str(copies[0].folder))]
    problem = mixture(copies, distributions)
    rows += [("detectron2 problem", problem)] if problem else []
    rows += [("solo_d2.ops", _kernels())]
    rows += [("python", f"{platform.python_version()} ({sys.executable})")]
    rows += [("platform", platform.platform())]
    rows += [(name, version) for name in REPORTED_PACKAGES if (version := _version(name))]
    return rows + _gpu_rows()


def _kernels() -> str:
    """Describes the kernels of the operators."""
    missing = load_extension()
    if missing:
        return f"PyTorch references ({missing})"
    compiled = [device for device, kind in active_kernels("matrix_nms").items() if kind == "compiled"]
    return f"compiled for {' and '.join(compiled)} ({torch.ops.solo_d2.cpu_kernels()})"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _gpu_rows() -> list[tuple[str, str]]:
    rows = [("CUDA of torch", torch.version.cuda or "none: a CPU build")]
    count = torch.cuda.device_count()
    for index in range(count):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        capability = f"{properties.major}.{properties.minor}"
        rows.append((f"GPU {index}", f"{properties.name}, {memory:.0f} GiB, sm {capability}"))
    return rows if count else [*rows, ("GPU", "none")]


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command, which has no flags of its own."""
    return cli.build_parser(description)


def run(arguments: argparse.Namespace) -> None:
    """Prints the report; exits with code 1 if two copies of Detectron2 are mixed or none exists."""
    rows = report()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    if any("MIXTURE" in value or "not importable" in value for _, value in rows):
        sys.exit(cli.EXIT_FAILURE)
