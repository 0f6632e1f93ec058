"""``solo-d2 export``: what it asks of the exporter, what it prints, and its mistakes."""

import pytest
import torch

from solo_d2.commands.export import model as command
from solo_d2.config.loading import load_config
from solo_d2.export import onnx_export
from solo_d2.export.onnx_file import Description
from solo_d2.modeling.meta_architecture import DenseSegmenter
from solo_d2.predictor import build_model

X = ["--config-file", "quick/solov2_tiny", "--output", "m.onnx"]
INT8 = ["--int8", "--calibrate", "pictures"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.pth"
    torch.save({"model": build_model(load_config("quick/solov2_tiny")).state_dict()}, path)
    return path


@pytest.fixture
def exports(monkeypatch):
    """Records the calls of the exporter, which writes ten bytes."""
    calls = []

    def export(model, cfg, metadata, output, **options):
        calls.append((model, cfg, metadata, options))
        with open(output, "wb") as file:
            file.write(b"0123456789")
        return Description()

    monkeypatch.setattr(command, "export_onnx", export)
    monkeypatch.setattr(onnx_export, "check_packages", lambda: None)
    return calls


def test_exports_the_trained_network(run_command, exports, weights, tmp_path, capsys):
    out = tmp_path / "model.onnx"
    flags = [
        "--config-file",
        "quick/solov2_tiny",
        "--output",
        out,
        "--candidates",
        50,
        "--masks",
        "full",
        "--tensorrt",
    ]
    run_command("export", *flags, "MODEL.WEIGHTS", weights, "MODEL.INFERENCE.PRECISION", "bf16")
    ((model, cfg, metadata, options),) = exports
    assert isinstance(model, DenseSegmenter) and not model.training and model.device.type == "cpu"
    assert cfg.MODEL.INFERENCE.PRECISION == "fp32" and "autocast" not in repr(model.forward)
    assert metadata.thing_classes[0] == "disc"
    assert options == {"num_candidates": 50, "masks": "full", "for_tensorrt": True}
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: ") and "0.0 MB" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "m.onnx"], "the following arguments are required: --config-file"),
        (["--config-file", "quick/solov2_tiny", "--output", "m.pt"], "m.pt: the file name must end in .onnx"),
        (["--config-file", "x", "--output", "m.onnx", "--candidates", "0"], "0: it must be at least 1"),
        (["--config-file", "x", "--output", "m.onnx", "--format", "tflite"], "invalid choice: 'tflite'"),
        ([*X, "--format", "openvino"], "m.onnx: the file name must end in .xml"),
        ([*X, "--int8"], "--int8 needs --calibrate DIR, a folder of typical pictures"),
        ([*X, "--calibrate", "."], "--calibrate is for --int8: give both or none"),
        ([*X, "--val-json", "x.json"], "--val-json is for --int8: give both or none"),
        ([*X, "--int8", "--calibrate", "nowhere"], "--calibrate nowhere: no such folder"),
        ([*X, "--int8", "--calibrate", "texts"], "--calibrate texts: no pictures there (.bmp"),
        ([*X, *INT8, "--val-json", "x.json"], "the AP needs both --val-json and --val-images"),
        ([*X, *INT8, "--val-json", "x.json", "--val-images", "."], "annotation file x.json"),
        ([*X, *INT8, "--val-json", "v.json", "--val-images", "no"], "--val-images no: no such folder"),
        ([*X, "--format", "openvino", "--output", "m.xml", "--tensorrt"], "--tensorrt is for --format onnx"),
        ([*X, *INT8, "--masks", "full"], "--masks full is for --format onnx without --int8"),
    ],
)
def test_mistakes_are_one_line(run_command, capsys, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(onnx_export, "check_packages", lambda: None)
    for folder in ("texts", "pictures"):
        (tmp_path / folder).mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    (tmp_path / "pictures" / "a.png").touch()
    (tmp_path / "v.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(SystemExit) as info:
        run_command("export", *words)
    error = capsys.readouterr().err
    assert info.value.code == 2 and message in error and error.count("\n") == 1
