from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.modeling import build_model
from solo_d2.predictor import load_config

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "quick" / "solov2_tiny.yaml"
OPTIONS = ["INPUT.MIN_SIZE_TEST", "64", "MODEL.SOLOV2.NUM_GRIDS", "[6, 5, 3]"]


@pytest.fixture
def run(run_command, tmp_path):
    torch.manual_seed(0)
    weights = tmp_path / "model.pth"
    torch.save({"model": build_model(load_config(CONFIG, OPTIONS)).state_dict()}, weights)

    def call(*arguments):
        flags = ["--config-file", CONFIG, *arguments, "--output", tmp_path / "out"]
        run_command("visualize activations", *flags, "--opts", *OPTIONS, "MODEL.WEIGHTS", weights)

    return call


def test_three_pictures_per_image(run, tmp_path):
    for name, size in (("a", (48, 64)), ("b", (70, 31))):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    run("--input", tmp_path / "a.png", tmp_path / "b.png")
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [f"{n}_{kind}.jpg" for n in "ab" for kind in ("activations", "channels", "kernels")]
    with Image.open(tmp_path / "out" / "a_activations.jpg") as sheet:
        assert sheet.width > sheet.height > 300


def test_equal_names_stay_apart(run, tmp_path):
    (tmp_path / "other").mkdir()
    paths = [tmp_path / "a.png", tmp_path / "other" / "a.png"]
    for path, color in zip(paths, ("red", "blue"), strict=True):
        Image.new("RGB", (64, 48), color).save(path)
    run("--input", *paths, paths[0])
    out = tmp_path / "out"
    kinds = ("activations", "channels", "kernels")
    assert {path.name for path in out.iterdir()} == {
        f"{n}_{kind}.jpg" for n in ("a", "a_2") for kind in kinds
    }
    first, second = (np.asarray(Image.open(out / f"{name}_kernels.jpg")) for name in ("a", "a_2"))
    assert first[30:60, 5:60, 0].mean() > first[30:60, 5:60, 2].mean() + 50, "the red one is first"
    assert second[30:60, 5:60, 2].mean() > second[30:60, 5:60, 0].mean() + 50


def test_no_input_is_overwritten(run, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    for name in ("a.png", "out/a_kernels.jpg"):
        Image.new("RGB", (64, 48)).save(tmp_path / name)
    before = (tmp_path / "out" / "a_kernels.jpg").read_bytes()
    with pytest.raises(SystemExit):
        run("--input", tmp_path / "a.png", tmp_path / "out" / "a_kernels.jpg")
    assert "would overwrite an input" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_kernels.jpg"]
    assert (tmp_path / "out" / "a_kernels.jpg").read_bytes() == before


def test_control_characters_are_not_printed(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("--input", tmp_path / "a\x1b[31m.png")
    error = capsys.readouterr().err
    assert "has control characters" in error and error.strip().isprintable()


def test_mistakes_are_one_line(run, tmp_path, capsys):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    for arguments, message in [
        (["--input", tmp_path / "a.png", "--level", "3"], "levels 0 to 2"),
        (["--input", tmp_path / "gone.png"], "gone.png does not exist"),
    ]:
        with pytest.raises(SystemExit) as info:
            run(*arguments)
        error = capsys.readouterr().err
        assert info.value.code == 2 and message in error and error.count("\n") == 1
