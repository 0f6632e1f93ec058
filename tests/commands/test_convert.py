"""The converter as a user calls it, on recorded formats with made-up weights."""

import pickle
import time

import pytest
import torch

from solo_d2.checkpoint import detect, read_native, read_weight_file, to_native
from solo_d2.checkpoint.adelaidet import FREESOLO
from solo_d2.checkpoint.resnet import DENSECL
from solo_d2.engine.weights import build_checkpointer
from tests.checkpoint.conftest import RECORDED

LIGHT = "mmdet3_solov2-light_r18_fpn_ms-3x_coco"


@pytest.fixture
def make_file(recorded_weights, tmp_path):
    """Returns ``make(recording)``: a file of the recorded format and its weights; leaves no large files."""

    def make(recording: str):
        weights = recorded_weights(recording, "cpu")
        path = tmp_path / f"{recording}.pth"
        torch.save({"meta": {"epoch": 12}, "state_dict": weights, "optimizer": {"lr": 0.1}}, path)
        return path, weights

    yield make
    for path in tmp_path.iterdir():
        path.unlink()


def same_values(native: dict, adapter, foreign: dict) -> bool:
    """Returns True if a model's weights equal a foreign file's, by their foreign names."""
    back = adapter.from_native(native)
    kept = {name: value for name, value in foreign.items() if adapter.why_expendable(name) is None}
    return kept.keys() <= back.keys() and all(torch.equal(back[n], value) for n, value in kept.items())


@pytest.mark.slow
@pytest.mark.parametrize("recording", [name for name in RECORDED if "r50" in name])
def test_golden_full_size_formats(run_command, make_file, build_shapes, tmp_path, recording):
    path, weights = make_file(recording)
    converted = tmp_path / "converted.safetensors"
    start = time.perf_counter()
    run_command(
        "convert",
        *("--input", path, "--output", converted, "--config-file", RECORDED[recording]),
    )
    assert time.perf_counter() - start < 20
    cfg, model = build_shapes(RECORDED[recording])
    model = model.to_empty(device="cpu")
    build_checkpointer(cfg, model, exact=True).load(str(converted))
    assert same_values(model.state_dict(), detect(weights), weights)


@pytest.mark.slow
def test_golden_full_size_freesolo(run_command, make_file, build_shapes, tmp_path):
    """Its only recorded model is R101's; all of it loads, embedding predictor included."""
    path, weights = make_file("freesolo_r101")
    converted = tmp_path / "converted.safetensors"
    start = time.perf_counter()
    run_command(
        "convert",
        *("--input", path, "--output", converted, "--config-file", "freesolo/freesolo_R101"),
    )
    assert time.perf_counter() - start < 20
    cfg, model = build_shapes("freesolo/freesolo_R101")
    model = model.to_empty(device="cpu")
    build_checkpointer(cfg, model, exact=True).load(str(converted))
    assert same_values(model.state_dict(), FREESOLO, weights)


@pytest.mark.slow
def test_full_size_densecl(run_command, build_shapes, tmp_path):
    """A backbone under the query encoder's names, which a model to be trained starts from."""
    cfg, model = build_shapes("mmdet/solov2_R50_1x")
    bottom_up = {n: v for n, v in model.state_dict().items() if n.startswith("backbone.bottom_up.")}
    weights = DENSECL.from_native({name: torch.rand(value.shape) for name, value in bottom_up.items()})
    assert all(name.startswith("encoder_q.0.") for name in weights)
    torch.save({"state_dict": weights}, tmp_path / "densecl.pth")
    start = time.perf_counter()
    run_command(
        "convert",
        *("--input", tmp_path / "densecl.pth", "--output", tmp_path / "backbone.pth"),
        *("--config-file", "mmdet/solov2_R50_1x"),
    )
    assert time.perf_counter() - start < 20
    model = model.to_empty(device="cpu")
    build_checkpointer(cfg, model).load(str(tmp_path / "backbone.pth"))
    assert same_values(model.state_dict(), DENSECL, weights)
    for path in tmp_path.iterdir():
        path.unlink()


def test_golden_there_and_back(run_command, make_file, tmp_path, capsys, caplog):
    path, weights = make_file(LIGHT)
    with caplog.at_level("INFO"):
        run_command(
            "convert",
            *("--input", path, "--output", tmp_path / "m.safetensors"),
            *("--config-file", RECORDED[LIGHT]),
        )
    assert "mmdet 2 and 3, a whole model" in caplog.text
    assert "not used: a counter of batch normalization" in caplog.text
    assert "'short_side': 448" in caplog.text
    run_command(
        "convert",
        "--input",
        tmp_path / "m.safetensors",
        "--output",
        tmp_path / "b.pth",
        "--to",
        "mmdet",
    )
    back = read_weight_file(str(tmp_path / "b.pth"))["model"]
    wanted = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    assert back.keys() == wanted.keys()
    assert all(torch.equal(back[name], value) for name, value in wanted.items())


def test_a_format_of_another_method_is_refused(run_command, tmp_path, capsys, caplog):
    weights = {
        "backbone.bottom_up.stem.conv1.weight": torch.ones(2),
        "head.mask_predictors.0.bias": torch.ones(3),
    }
    torch.save(weights, tmp_path / "m.pth")
    convert = ["--input", tmp_path / "m.pth", "--output", tmp_path / "n.pth"]
    error = one_line(run_command, capsys, *convert, "--to", "adelaidet")
    assert "no name for 1 of 2 weights, such as head.mask_predictors.0.bias" in error
    assert not (tmp_path / "n.pth").exists()
    with caplog.at_level("INFO"):
        run_command("convert", *convert, "--to", "torchvision")
    assert "no names for 1 weights: they are left out" in caplog.text
    assert list(read_weight_file(str(tmp_path / "n.pth"))["model"]) == ["conv1.weight"]


# A detector of another kind in three code bases' names, and pieces of models with more in them.
RESNET = ("backbone.conv1.weight", "backbone.layer1.0.conv1.weight")
STRANGERS = {
    "mmdet's Mask R-CNN": (*RESNET, "neck.fpn_convs.0.conv.weight", "rpn_head.rpn_conv.weight"),
    "Detectron2's Mask R-CNN": ("backbone.bottom_up.stem.conv1.weight", "roi_heads.box_head.fc1.weight"),
    "torchvision's Mask R-CNN": ("backbone.body.conv1.weight", "rpn.head.conv.0.0.weight"),
    "another backbone": ("backbone.patch_embed.projection.weight", "backbone.norm0.weight"),
    "a torchvision ResNet with more": ("conv1.weight", "layer1.0.conv1.weight", "layer1.0.se.fc1.weight"),
    "a SOLOv2 with more": ("bbox_head.solo_cate.weight", "bbox_head.iou.weight"),
    "a piece of this project's": ("head.category_predictor.weight", "head.iou.weight"),
    "a piece of anything": ("conv1.weight", "fc.weight"),
}


@pytest.mark.parametrize("names", STRANGERS.values(), ids=STRANGERS)
def test_unknown_names_need_a_config(run_command, tmp_path, capsys, names):
    torch.save({"state_dict": {name: torch.ones(1) for name in names}}, tmp_path / "m.pth")
    error = one_line(run_command, capsys, "--input", tmp_path / "m.pth", "--output", tmp_path / "n.pth")
    assert "weights, such as " in error and "do not belong to" in error and "--config-file" in error
    assert any(name in error for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["m.pth"]


@pytest.mark.parametrize("recording", [*RECORDED, "freesolo_r101"])
def test_golden_names_are_known(recorded_weights, recording):
    """So that every published format converts without a config, and back from this project's names."""
    native = to_native({"state_dict": recorded_weights(recording)})
    assert native.format and native.left_over == ()
    own = to_native(native.weights)
    assert own.format is None and own.left_over == ()


def test_preprocessing_can_be_told(run_command, tmp_path):
    weights = {"ins_head.cate_pred.bias": torch.ones(3), "ins_head.kernel_pred.bias": torch.ones(3)}
    torch.save(weights, tmp_path / "m.pth")
    convert = ["convert", "--input", tmp_path / "m.pth", "--output", tmp_path / "n.pth"]
    run_command(*convert)
    assert read_native(str(tmp_path / "n.pth")).preprocessing.channels == "BGR"
    run_command(*convert, "--preprocessing", "torchvision")
    native = read_native(str(tmp_path / "n.pth"))
    assert native.preprocessing.channels == "RGB" and native.format.name == "adelaidet"


def one_line(run_command, capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as stop:
        run_command("convert", *arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and error.startswith("error: ")
    return error


def test_golden_mistakes(run_command, make_file, tmp_path, capsys):
    path, _ = make_file(LIGHT)
    before = sorted(tmp_path.iterdir())
    target = tmp_path / "m.pth"
    convert = ["--input", path, "--output", target]
    error = one_line(run_command, capsys, *convert, "--config-file", "mmdet/solov2_light_448_R34_3x")
    assert "MODEL.RESNETS.DEPTH" in error
    error = one_line(run_command, capsys, *convert, "--config-file", "mmdet/solov2_light_448_R18_4x")
    assert "did you mean mmdet/solov2_light_448_R18_3x" in error
    assert "known are freesolo" in one_line(run_command, capsys, *convert, "--to", "mmdet9")
    assert ".pth or .safetensors" in one_line(
        run_command, capsys, "--input", path, "--output", tmp_path / "m.bin"
    )
    missing = one_line(run_command, capsys, "--input", path, "--output", tmp_path / "no" / "m.pth")
    assert "does not exist" in missing
    path.write_bytes(path.read_bytes()[:-1000])
    assert "truncated" in one_line(run_command, capsys, *convert)
    assert sorted(tmp_path.iterdir()) == before


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


def test_old_pickles_have_to_be_allowed(run_command, tmp_path, capsys):
    path, target = tmp_path / "old.pkl", tmp_path / "m.pth"
    weights = {name: torch.ones(1).numpy() for name in ("conv1.weight", "layer1.0.conv1.weight")}
    path.write_bytes(pickle.dumps({**weights, "meta": Malicious()}))
    error = one_line(run_command, capsys, "--input", path, "--output", target)
    assert "--allow-pickle" in error and "executed" not in error and not target.exists()
    run_command("convert", "--input", path, "--output", target, "--allow-pickle")
    assert "executed" in capsys.readouterr().out and target.exists()
