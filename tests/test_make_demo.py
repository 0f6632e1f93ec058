"""The README's first command, from set-up to metrics."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_make_demo_learns():
    subprocess.run(["make", "demo"], cwd=ROOT, check=True)
    demo = ROOT / "output" / "demo"
    metrics = json.loads((demo / "metrics.json").read_text())
    assert metrics["segm/AP"] >= 50 and metrics["bbox/AP"] >= 50
    assert len(list((demo / "images").glob("*.png"))) == 200
    assert (demo / "video.mp4").stat().st_size > 0
