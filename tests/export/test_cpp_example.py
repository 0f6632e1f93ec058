"""The C++ example, compiled and run on exported files; needs ONNX Runtime's headers and the extra "export".

ONNXRUNTIME_INCLUDE names the folder of ``onnxruntime_cxx_api.h``, which no Python package contains.
"""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detectron2.data import Metadata
from solo_d2.export import export_onnx, load_exported

SOURCE = Path(__file__).resolve().parents[2] / "examples" / "cpp" / "segment.cpp"
NAMES = ["disc", "ring", "a star", "d", "e"]
INCLUDES = (
    os.environ.get("ONNXRUNTIME_INCLUDE", ""),
    "/usr/include/onnxruntime",
    "/usr/include/onnxruntime/core/session",
    "/usr/local/include/onnxruntime",
)


def _missing() -> str:
    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if shutil.which("g++") is None:
        absent.append("g++")
    if not _headers():
        absent.append("onnxruntime_cxx_api.h (ONNXRUNTIME_INCLUDE)")
    return ", ".join(absent)


def _headers() -> str:
    found = [folder for folder in INCLUDES if folder and Path(folder, "onnxruntime_cxx_api.h").is_file()]
    return found[0] if found else ""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(_missing()), reason=f"needs {_missing()}")]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled example, linked to the library of the Python package."""
    import onnxruntime

    folder = tmp_path_factory.mktemp("cpp")
    (library,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(library)
    flags = ["-O2", "-std=c++17", f"-I{_headers()}", f"-L{folder}", f"-Wl,-rpath,{folder}"]
    command = ["g++", *flags, SOURCE, "-lonnxruntime", "-o", folder / "segment"]
    subprocess.run(command, check=True)
    return folder / "segment"


def segment(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("name", ["solov2_tiny", "condinst_tiny"])
def test_it_prints_the_instances_of_the_predictor(build, program, tmp_path, name):
    cfg, model = build(name)
    path = tmp_path / "model.onnx"
    export_onnx(model, cfg, Metadata(thing_classes=NAMES), path, num_candidates=100)
    picture = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.ppm"), picture[:, :, ::-1])
    ran = segment(program, path, tmp_path / "a.ppm")
    assert ran.returncode == 0, ran.stderr
    ordered = picture[:, :, ::-1] if cfg.INPUT.FORMAT == "BGR" else picture
    image = torch.as_tensor(ordered.transpose(2, 0, 1).copy())
    (found,) = (one["instances"] for one in load_exported(path)([{"image": image}]))
    found = found[found.pred_masks.flatten(1).any(1)]
    lines = [line.split(" ") for line in ran.stdout.splitlines()]
    assert len(lines) == len(found) > 5
    for line, score, label, mask in zip(
        lines, found.scores, found.pred_classes, found.pred_masks, strict=True
    ):
        assert float(line[0]) == pytest.approx(float(score), abs=1e-5)
        assert " ".join(line[1:-5]) == NAMES[label]
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert [int(value) for value in line[-5:-1]] == pytest.approx([int(value) for value in box], abs=1)
        assert int(line[-1]) == pytest.approx(int(mask.sum()), abs=2)
    least = (found.scores[1] + found.scores[2]) / 2
    assert len(segment(program, path, tmp_path / "a.ppm", f"{least:.6f}").stdout.splitlines()) == 2


def test_mistakes_are_one_line(program, tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6\n4 4\n255\n" + bytes(47))
    for picture, message in ((SOURCE, "is not a binary PPM"), (tmp_path / "a.ppm", "ends too early")):
        ran = segment(program, "model.onnx", picture)
        assert ran.returncode == 1 and message in ran.stderr and ran.stderr.count("\n") == 1
    assert segment(program).returncode == 2
