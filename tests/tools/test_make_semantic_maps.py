import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def test_maps_are_written(panoptic_set, tmp_path):
    command = [sys.executable, "-W", "ignore", str(ROOT / "tools" / "make_semantic_maps.py")]
    command += ["--json", panoptic_set.json, "--panoptic", panoptic_set.panoptic, "--output"]
    done = subprocess.run([*command, str(tmp_path / "maps")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 semantic maps -> ")
    assert np.unique(np.asarray(Image.open(tmp_path / "maps" / "1.png"))).tolist() == [0, 1, 255]
    done = subprocess.run([*command, panoptic_set.panoptic], capture_output=True, text=True)
    assert done.returncode == 2 and "name another folder" in done.stderr
