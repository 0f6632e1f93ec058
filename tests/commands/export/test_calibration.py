"""``solo-d2 export --int8``: its pictures, its AP, and what reaches the quantization."""

import json

import cv2
import numpy as np
import pytest
import torch

from solo_d2.commands.export import calibration
from solo_d2.commands.export import model as command
from solo_d2.config.loading import load_config
from solo_d2.export import onnx_export, onnx_file, onnx_runtime, openvino_export
from solo_d2.export.onnx_file import store
from solo_d2.predictor import Predictor, build_model
from solo_d2.utils.errors import InputError
from tests.export.stand_in import DESCRIPTION, RUNTIME, Proto


@pytest.fixture
def predictor(monkeypatch, tmp_path):
    """A predictor on a stand-in's file, which finds bright parts."""
    for module in (onnx_file, onnx_runtime):
        monkeypatch.setattr(module, "required", lambda name: RUNTIME)
    (tmp_path / "model.onnx").write_bytes(store(Proto(), DESCRIPTION))
    return Predictor(tmp_path / "model.onnx")


def write_pictures(folder, count):
    """Writes pictures with one bright box each, and their annotations; returns the annotation file."""
    folder.mkdir()
    content = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "lamp"}]}
    for number in range(1, count + 1):
        picture = np.zeros((64, 80, 3), np.uint8)
        picture[10:30, 40 - number : 60] = 255
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture)
        content["images"].append({"id": number, "file_name": f"{number:03d}.png", "height": 64, "width": 80})
        box = [40 - number, 10, 20 + number, 20]
        x, y, w, h = box
        content["annotations"].append(
            {
                "id": number,
                "image_id": number,
                "category_id": 7,
                "bbox": box,
                "area": w * h,
                "iscrowd": 0,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
        )
    path = folder.with_suffix(".json")
    path.write_text(json.dumps(content))
    return path


def test_the_ap_of_a_file(predictor, tmp_path):
    right = write_pictures(tmp_path / "val", 3)
    measured = calibration.average_precision(tmp_path / "model.onnx", str(right), str(tmp_path / "val"))
    assert measured == pytest.approx(100)


def test_pictures_are_spread_and_prepared_as_the_models(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "_MOST_PICTURES", 2)
    write_pictures(tmp_path / "shots", 5)
    assert [path.name for path in calibration.find_pictures(str(tmp_path / "shots"))] == [
        "001.png",
        "004.png",
    ]
    images = calibration.read_pictures(predictor, str(tmp_path / "shots"))
    assert [(image.dtype, image.shape) for image in images] == [(torch.uint8, (3, 64, 80))] * 2
    assert images[1][:, 10:30, 36:60].eq(255).all() and images[1].sum() == 255 * 3 * 20 * 24


def test_a_picture_that_is_none(predictor, tmp_path):
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "a.png").write_text("no picture")
    with pytest.raises(InputError, match="a.png"):
        calibration.read_pictures(predictor, str(tmp_path / "shots"))


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_what_reaches_the_quantization(run_command, monkeypatch, tmp_path, capsys, form):
    """Exporters are replaced; the plain file is gone at the end."""
    weights = tmp_path / "model.pth"
    torch.save({"model": build_model(load_config("quick/solov2_tiny")).state_dict()}, weights)
    annotations = write_pictures(tmp_path / "shots", 3)
    suffix = {"onnx": ".onnx", "openvino": ".xml"}[form]
    output, seen = tmp_path / f"int8{suffix}", {}
    aps = iter((58.4, 58.25))

    def quantize(source, target, images):
        seen.update(source=source, images=images)
        assert source.is_file()
        for path in {target, target.replace(".xml", ".bin")}:
            with open(path, "wb") as file:
                file.write(b"0" * 50_000)
        return DESCRIPTION

    monkeypatch.setattr(onnx_export, "check_packages", lambda: None)
    monkeypatch.setattr(openvino_export, "required", lambda name: RUNTIME)
    monkeypatch.setattr(command, "required", lambda name: RUNTIME)
    monkeypatch.setattr(command, "export_onnx", lambda *given, **options: given[3].write_bytes(b"plain"))
    monkeypatch.setattr(command, f"quantize_{form}", quantize)
    monkeypatch.setattr(calibration, "average_precision", lambda *given: next(aps))
    flags = ["--config-file", "quick/solov2_tiny", "--format", form, "--output", output, "--int8"]
    flags += [
        "--calibrate",
        tmp_path / "shots",
        "--val-json",
        annotations,
        "--val-images",
        tmp_path / "shots",
    ]
    run_command("export", *flags, "MODEL.WEIGHTS", weights, "INPUT.MIN_SIZE_TEST", "32")
    assert [image.shape for image in seen["images"]] == [(3, 32, 40)] * 3 and not seen["source"].exists()
    said = capsys.readouterr().out
    assert "mask AP 58.40 in fp32, 58.25 in int8\n" in said
    assert f"{output}: SOLOv2, fp32, {0.05 if form == 'onnx' else 0.1:.1f} MB" in said
