"""Today's code computes what an earlier commit computed, and resumes a run that it left; see README.md."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import detectron2
import solo_d2

HERE = Path(__file__).resolve().parent
RECORDED = sorted(path for path in HERE.glob("*.json") if path.name != "resumed.json")
RELATIVE = 1e-4
PIXELS = 2  # of a mask's area, besides RELATIVE, and of a box's corners
# Another CPU rounds differently: a pixel on the threshold or one of two equal scores can go the other way,
# and an instance with it. At least this part of them must agree.
MATCHED = 0.8


def record(folder: Path, *options: str) -> None:
    """Runs ``record.py`` on the package under test."""
    roots = [str(Path(package.__file__).parents[1]) for package in (solo_d2, detectron2)]
    paths = [*roots, os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(HERE / "record.py"), "--output", str(folder), *options]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def load(path: Path) -> dict:
    return json.loads(path.read_text())


def close(first: float, second: float) -> bool:
    return math.isclose(first, second, rel_tol=RELATIVE, abs_tol=1e-6)


def different_losses(expected: list[dict], found: list[dict]) -> list[str]:
    if len(expected) != len(found) or any(a.keys() != b.keys() for a, b in zip(expected, found, strict=True)):
        return ["other steps or losses"]
    return [
        f"step {step} {name}: {losses[name]} instead of {value}"
        for step, (wanted, losses) in enumerate(zip(expected, found, strict=True))
        for name, value in wanted.items()
        if not close(value, losses[name])
    ]


def same_instance(expected: dict, i: int, found: dict, j: int) -> bool:
    area = expected["areas"][i]
    corners = zip(expected["boxes"][i], found["boxes"][j], strict=True)
    return (
        expected["classes"][i] == found["classes"][j]
        and close(expected["scores"][i], found["scores"][j])
        and abs(area - found["areas"][j]) <= PIXELS + RELATIVE * area
        and all(abs(a - b) <= PIXELS for a, b in corners)
    )


def matched_fraction(expected: dict, found: dict) -> float:
    """Returns which fraction of the recorded instances was found."""
    rows, others = range(len(expected["scores"])), range(len(found["scores"]))
    return sum(any(same_instance(expected, i, found, j) for j in others) for i in rows) / len(rows)


def different_segments(expected: list[dict], found: list[dict]) -> list[str]:
    """Compares the pixels of each category."""

    def areas(segments: list[dict]) -> dict[tuple[int, int], int]:
        totals: dict[tuple[int, int], int] = {}
        for segment in segments:
            key = (segment["isthing"], segment["category_id"])
            totals[key] = totals.get(key, 0) + segment["area"]
        return totals

    wanted, got = areas(expected), areas(found)
    slack = PIXELS * max(1, len(expected))
    return [
        f"segments of category {key}: {got.get(key, 0)} pixels instead of {wanted.get(key, 0)}"
        for key in wanted.keys() | got.keys()
        if abs(wanted.get(key, 0) - got.get(key, 0)) > slack
    ]


def differences(expected: dict, found: dict) -> list[str]:
    problems = different_losses(expected.get("losses", []), found.get("losses", []))
    if "scores" in expected and matched_fraction(expected, found) < MATCHED:
        problems.append(f"only {matched_fraction(expected, found):.0%} of the instances were found")
    return problems + different_segments(expected.get("segments", []), found.get("segments", []))


def test_every_method_computes_what_was_recorded(tmp_path):
    record(tmp_path)
    assert len(RECORDED) == 9
    problems = {path.stem: differences(load(path), load(tmp_path / path.name)) for path in RECORDED}
    assert not any(problems.values()), {name: lines for name, lines in problems.items() if lines}


def test_a_run_that_an_earlier_commit_left_resumes_with_its_losses(tmp_path):
    record(tmp_path, "--resume")
    expected, found = (load(folder / "resumed.json") for folder in (HERE, tmp_path))
    assert list(expected) == list(found) == ["4", "5", "6", "7"]
    assert different_losses(list(expected.values()), list(found.values())) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda r: r["losses"][1].update(total_loss=r["losses"][1]["total_loss"] * 1.001),
            "step 1 total_loss",
        ),
        (lambda r: r["losses"].pop(), "other steps"),
        (lambda r: r["scores"].__setitem__(slice(0, 6), [0.5] * 6), "of the instances"),
        (lambda r: r.update(areas=[area + 50 for area in r["areas"]]), "of the instances"),
        (lambda r: r["segments"][0].update(category_id=77), "segments of category"),
    ],
)
def test_differences_are_seen(change, problem):
    recorded, changed = (load(HERE / "panoptic_solov2.json") for _ in range(2))
    assert differences(recorded, changed) == []
    change(changed)
    assert any(problem in line for line in differences(recorded, changed))
