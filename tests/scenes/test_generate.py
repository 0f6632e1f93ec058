import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from solo_d2.scenes import SceneConfig, generate_scenes
from solo_d2.utils.errors import InputError


def _contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return generate_scenes(tmp_path_factory.mktemp("made") / "scenes", 12, 4, size=64, workers=1)


def test_layout(made):
    names = _contents(made)
    for split, count in (("train", 12), ("val", 4)):
        coco = COCO(str(made / f"instances_{split}.json"))
        assert len(coco.imgs) == count
        for image in coco.imgs.values():
            assert cv2.imread(str(made / split / "images" / image["file_name"])).shape == (64, 64, 3)
        for annotation in coco.anns.values():
            matte = cv2.imread(str(made / f"alpha_{split}" / annotation["alpha_file"]), cv2.IMREAD_UNCHANGED)
            assert matte.shape == (64, 64, 4)
            assert np.array_equal(
                coco.annToMask(annotation) > 0, coco.annToMask(annotation) * matte[..., 3] > 0
            )
        panoptic = json.loads((made / f"panoptic_{split}.json").read_text())
        assert len(panoptic["annotations"]) == count
        assert all(f"panoptic_{split}/{item['file_name']}" in names for item in panoptic["annotations"])
    assert "scenes.json" in names


def test_files_do_not_depend_on_workers_nor_on_how_many_are_made(made, tmp_path):
    parallel = generate_scenes(tmp_path / "a", 12, 4, size=64, workers=2)
    assert _contents(parallel) == _contents(made)
    fewer = _contents(generate_scenes(tmp_path / "b", 5, 1, size=64, workers=1))
    pictures = {name: data for name, data in fewer.items() if name.endswith(".png")}
    assert pictures.items() <= _contents(made).items()


def test_finished_set_is_reused(made):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    generate_scenes(made, 12, 4, size=64)
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


@pytest.mark.parametrize(
    "change", [{"size": 96}, {"seed": 1}, {"num_train": 13}, {"config": SceneConfig(pixel_noise=2)}]
)
def test_other_parameters_are_refused_and_nothing_is_touched(made, change):
    before = _contents(made)
    with pytest.raises(InputError, match="holds other scenes") as info:
        generate_scenes(made, **{"num_train": 12, "num_val": 4, "size": 64, **change})
    assert "\n" not in str(info.value)
    assert _contents(made) == before and os.listdir(made.parent) == ["scenes"]


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(InputError, match="not a finished set"):
        generate_scenes(tmp_path, 1, 1, size=64)
    assert os.listdir(tmp_path) == ["precious.txt"]


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("solo_d2.scenes.generate._write_annotations", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generate_scenes(tmp_path / "scenes", 1, 1, size=64)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("bad", [{"num_train": 0}, {"num_val": 0}, {"size": 63}, {"seed": -1}])
def test_parameters_out_of_range(tmp_path, bad):
    with pytest.raises(InputError, match="at least"):
        generate_scenes(tmp_path / "scenes", **bad)
