from pathlib import Path

import pytest
import torch

from detectron2.modeling import build_model
from solo_d2.config.loading import load_config
from solo_d2.export.backbone import STEM, backbone_weights

QUICK = Path(__file__).resolve().parents[3] / "configs" / "quick"
SMALL = ["MODEL.DENSECL.HIDDEN_DIM", "16", "MODEL.DENSECL.QUEUE_SIZE", "8"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The files of a training: model_final.pth and config.yaml."""
    folder = tmp_path_factory.mktemp("densecl")
    cfg = load_config(QUICK / "densecl_tiny.yaml", SMALL)
    torch.manual_seed(0)
    torch.save({"model": build_model(cfg).state_dict(), "iteration": 1}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(cfg.dump())
    return folder


def test_exports(run_command, run_folder, tmp_path, capsys):
    out = tmp_path / "new" / "backbone.pth"
    run_command("export backbone", "--weights", run_folder / "model_final.pth", "--output", out)
    said = capsys.readouterr().out
    assert f"MODEL.WEIGHTS {out}" in said and "INPUT.FORMAT RGB" in said
    content = torch.load(out, weights_only=True)
    assert content["matching_heuristics"] is True and STEM in content["model"]
    assert content["preprocessing"]["channels"] == "RGB"
    assert [path.name for path in out.parent.iterdir()] == ["backbone.pth"]


def test_for_another_config(run_command, run_folder, tmp_path):
    other = tmp_path / "bgr.yaml"
    other.write_text(f"_BASE_: {QUICK / 'solov2_tiny.yaml'}\nINPUT: {{FORMAT: BGR}}\nMODEL: "
                     "{PIXEL_MEAN: [103.53, 116.28, 123.675], PIXEL_STD: [1.0, 1.0, 1.0]}\n")  # fmt: skip
    out = tmp_path / "backbone.pth"
    weights = run_folder / "model_final.pth"
    run_command("export backbone", "--weights", weights, "--output", out, "--for-config", other)
    before = backbone_weights(torch.load(weights, weights_only=True)["model"])[STEM]
    after = torch.load(out, weights_only=True)["model"][STEM]
    std = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
    torch.testing.assert_close(after, (before / std).flip(1))
    assert torch.load(out, weights_only=True)["preprocessing"] == {
        "channels": "BGR",
        "mean": [103.53, 116.28, 123.675],
        "std": [1.0, 1.0, 1.0],
    }


def test_without_a_config_the_checkpoint_says_what_it_expects(run_command, run_folder, tmp_path):
    content = torch.load(run_folder / "model_final.pth", weights_only=True)
    torch.save({**content, "preprocessing": {"channels": "BGR", "short_side": 800}}, tmp_path / "model.pth")
    out = tmp_path / "backbone.pth"
    run_command("export backbone", "--weights", tmp_path / "model.pth", "--output", out)
    assert torch.load(out, weights_only=True)["preprocessing"] == {"channels": "BGR"}


def test_mistakes_are_one_line(run_command, run_folder, tmp_path, capsys):
    (tmp_path / "alone.pth").write_bytes((run_folder / "model_final.pth").read_bytes())
    for arguments, message in (
        (["--weights", tmp_path / "gone.pth", "--output", "x.pth"], "does not exist"),
        (["--weights", run_folder / "model_final.pth", "--output", "x.pkl"], "must end in .pth"),
        (
            ["--weights", tmp_path / "alone.pth", "--output", tmp_path / "x.pth", "--for-config", "y.yaml"],
            "needs the pre-training's config",
        ),
    ):
        with pytest.raises(SystemExit) as info:
            run_command("export backbone", *arguments)
        error = capsys.readouterr().err
        assert info.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "x.pth").exists()
