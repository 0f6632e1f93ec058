"""The command for photographs, with the built-in scenes as photographs."""

import json
import shutil
from pathlib import Path

import pytest

from solo_d2.commands import photos
from solo_d2.engine import own_data
from solo_d2.engine.run_config import build_cfg
from solo_d2.evaluation.results import write_results
from solo_d2.scenes import generate_scenes
from solo_d2.utils.json_file import write_json

KEYS = [
    *("MODEL.WEIGHTS", "", "SEED", "1", "SOLVER.MAX_MINUTES", "0", "SOLVER.MAX_ITER", "2"),
    *("SOLVER.IMS_PER_BATCH", "2", "MODEL.FPN.OUT_CHANNELS", "32", "DATALOADER.NUM_WORKERS", "0"),
    *("INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64"),
    *("TEST.PRECISE_BN.ENABLED", "False", "TEST.VIS_IMAGES", "0"),
]


@pytest.fixture(autouse=True)
def weights_installed(monkeypatch):
    """The config must not depend on whether this machine has weights of ImageNet."""
    monkeypatch.setattr(own_data, "find_spec", lambda name: True)


@pytest.fixture
def scenes(tmp_path):
    """A folder with one annotation file and its images."""
    path = generate_scenes(tmp_path / "scenes", 5, 1, size=64, workers=1) / "instances_train.json"
    path.with_name("instances_val.json").unlink()
    return path.parent


@pytest.fixture
def trained(monkeypatch):
    """Replaces trainings by one that finds all objects but the first; returns their command lines."""
    called = []

    def run(arguments):
        called.append(arguments)
        cfg = build_cfg(arguments)
        truth = json.loads(Path(cfg.DATASETS.CUSTOM.VAL_JSON).read_text())
        keys = ("image_id", "category_id", "segmentation")
        results = [{"score": 0.9, **{key: one[key] for key in keys}} for one in truth["annotations"][1:]]
        output = Path(cfg.OUTPUT_DIR)
        write_json(output / "inference" / "coco_instances_results.json", results)
        write_results({"segm": {"AP": 87.65}}, str(output / "evaluation.json"))
        (output / "config.yaml").write_text(cfg.dump())

    monkeypatch.setattr(photos.train, "run", run)
    return called


def test_without_a_folder_it_names_public_data(run_command, capsys):
    run_command("photos")
    said = capsys.readouterr().out
    sets = [line for line in said.splitlines() if line.strip()[:1].isdigit()]
    assert len(sets) == 5 and all("CC BY" in line or "MIT" in line for line in sets)
    assert "make photos DATA=FOLDER MINUTES=30" in said


def test_trains_within_the_minutes_and_writes_a_page(run_command, trained, scenes, tmp_path, capsys):
    output = tmp_path / "out"
    run_command("photos", "--data", scenes, "--minutes", 7, "--output", output, "SOLVER.IMS_PER_BATCH", 3)
    assert capsys.readouterr().out.endswith(f"{output}/report.html\n")
    page = (output / "report.html").read_text()
    assert trained[0].minutes == 7 and not trained[0].resume
    assert " steps of 3 images with a short side of 384 pixels (CondInst, from " in page
    assert f"--data {scenes} --minutes 7 --output {output}" in page and "<td>87.7</td>" in page
    assert page.count("missed object: ") == 2 and "1 validation pictures" in page


def test_ids_that_are_text(run_command, trained, scenes, tmp_path):
    path = scenes / "instances_train.json"
    content = json.loads(path.read_text())
    for one in content["images"]:
        one["id"] = f"picture {one['id']}"
    for one in content["annotations"]:
        one["image_id"] = f"picture {one['image_id']}"
    path.write_text(json.dumps(content))
    run_command("photos", "--data", scenes, "--output", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("missed object: ") == 2 and "mask on no object: " not in page


def test_another_training_is_not_mixed_in(run_command, trained, scenes, tmp_path, capsys):
    def complains(message, *flags):
        with pytest.raises(SystemExit) as info:
            run_command("photos", "--data", scenes, "--output", tmp_path / "out", *flags)
        error = capsys.readouterr().err
        assert info.value.code == 2 and message in error and error.count("\n") == 1, error

    run_command("photos", "--data", scenes, "--output", tmp_path / "out")
    complains("has another training: add --resume, or name another folder")
    run_command("photos", "--data", scenes, "--output", tmp_path / "out", "--resume")
    assert trained[1].resume
    capsys.readouterr()
    shutil.copy(scenes / "instances_train.json", scenes / "val.json")
    complains("has a training with", "--resume")
    assert len(trained) == 2


@pytest.mark.slow
def test_a_real_training(run_command, scenes, tmp_path):
    output = tmp_path / "out"
    run_command("photos", "--data", scenes, "--output", output, *KEYS)
    page = (output / "report.html").read_text()
    assert "2 steps of 2 images with a short side of 64 pixels (CondInst, from random weights)" in page
    assert page.count("data:image/jpeg") >= 2 and (output / "model_final.pth").is_file()
    assert "segm/AP" in json.loads((output / "evaluation.json").read_text())
