import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(files, *flags):
    arguments = ["--json", files.json, "--panoptic", files.panoptic, "--images", files.images, *flags]
    command = [sys.executable, "-W", "ignore", str(ROOT / "tools" / "check_panoptic.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_sound_set(panoptic_set):
    done = run(panoptic_set)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("2 images, 5 segments, nothing wrong\n")


def test_problems_are_listed(panoptic_set):
    panoptic_set.content["annotations"][0]["segments_info"][1]["area"] = 5
    panoptic_set.write(panoptic_set.content)
    done = run(panoptic_set)
    assert done.returncode == 1
    assert done.stdout == (
        "1 x segment with another number of pixels than its area (1.png: segment 301 has 160, listed as 5)\n"
    )
    panoptic_set.content["annotations"] = []
    panoptic_set.write(panoptic_set.content)
    done = run(panoptic_set)
    assert done.returncode == 2 and "has no annotation" in done.stderr and len(done.stderr.splitlines()) == 1
