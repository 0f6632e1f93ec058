"""The shell commands of docs/quick_start.md, run in order as a reader would, with few and small steps."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "quick_start.md"
# What is added so that a command takes seconds, by its first words.
SHORTER = {
    (
        "train",
    ): "SOLVER.MAX_ITER 2 SOLVER.IMS_PER_BATCH 2 INPUT.MIN_SIZE_TRAIN (64,) DATALOADER.NUM_WORKERS 0",
    ("data", "scenes"): "--num-train 4 --num-val 2",
}
OFFLINE = "mmdet/solov2_R50_3x"  # needs a download


def commands() -> list[list[str]]:
    blocks = PAGE.read_text().split("```bash\n")[1:]
    lines = "".join(block.split("```")[0].replace("\\\n", " ") for block in blocks).splitlines()
    return [shlex.split(line) for line in lines]


def own_data(folder: Path) -> None:
    """Writes train.json, val.json and their pictures of bright squares."""
    for name, count in (("train", 4), ("val", 2)):
        (folder / name).mkdir()
        images, annotations = [], []
        for number in range(1, count + 1):
            picture = np.full((64, 96, 3), 40, np.uint8)
            picture[10:40, 20:50] = 220
            cv2.imwrite(str(folder / name / f"{number}.png"), picture)
            images.append({"id": number, "file_name": f"{number}.png", "height": 64, "width": 96})
            square = {
                "segmentation": [[20, 10, 50, 10, 50, 40, 20, 40]],
                "bbox": [20, 10, 30, 30],
                "area": 900,
            }
            annotations.append({"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, **square})
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
        (folder / f"{name}.json").write_text(json.dumps(content))


def test_the_page_shows_commands():
    assert [words[:2] for words in commands()] == [
        ["solo-d2", "zoo"],
        ["solo-d2", "predict"],
        ["solo-d2", "train"],
        ["solo-d2", "predict"],
        ["solo-d2", "data"],
        ["solo-d2", "train"],
    ]


@pytest.mark.slow
def test_its_commands_run(tmp_path):
    own_data(tmp_path)
    cv2.imwrite(str(tmp_path / "image.jpg"), np.full((64, 96, 3), 90, np.uint8))
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    for words in commands():
        more = next(
            (text for first, text in SHORTER.items() if tuple(words[1 : 1 + len(first)]) == first), ""
        )
        line = [sys.executable, "-W", "ignore", "-m", "solo_d2", *words[1:], *more.split()]
        done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True)
        if OFFLINE in words and done.returncode:
            assert "error: " in done.stderr and "Traceback" not in done.stderr, done.stderr
        else:
            assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    assert (tmp_path / "output" / "mine" / "model_final.pth").is_file()
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["1.png", "2.png"]
