"""Quantized files: what is refused, what stays in float32, and results close to the original's."""

from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from detectron2.data import Metadata
from solo_d2.export import (
    export_onnx,
    load_exported,
    onnx_export,
    onnx_file,
    onnx_runtime,
    openvino_export,
    quantization,
    quantize_onnx,
    quantize_openvino,
)
from solo_d2.export.onnx_file import store
from solo_d2.utils.errors import InputError
from tests.export.stand_in import DESCRIPTION, RUNTIME, Proto

PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
MISSING = [name for name in PACKAGES if find_spec(name) is None]
# Convolutions of solov2_tiny that stay in float32: scores and kernels on three levels, and the mask feature.
PREDICTING = 7


@pytest.fixture
def runtime(monkeypatch):
    """Replaces the packages by the stand-in."""
    for module in (onnx_file, onnx_export, onnx_runtime, openvino_export, quantization):
        monkeypatch.setattr(module, "required", lambda name: RUNTIME)


@pytest.mark.parametrize(
    ("precision", "images", "message"),
    [
        ("int8", [torch.zeros(3, 32, 32)], "plain.onnx is quantized already: give a file in fp32"),
        ("fp32", [], "there are no images to calibrate with"),
    ],
)
@pytest.mark.parametrize(("quantize", "suffix"), [(quantize_onnx, ".onnx"), (quantize_openvino, ".xml")])
def test_mistakes_are_one_line(runtime, tmp_path, precision, images, message, quantize, suffix):
    path = tmp_path / "plain.onnx"
    path.write_bytes(store(Proto(), replace(DESCRIPTION, precision=precision)))
    with pytest.raises(InputError, match=message):
        quantize(path, tmp_path / f"int8{suffix}", images)
    with pytest.raises(InputError, match="the file name must end in"):
        quantize(path, tmp_path / "int8.bin", images)


@pytest.mark.parametrize("package", ["openvino", "nncf"])
def test_missing_packages_are_named(monkeypatch, tmp_path, package):
    def find(name):
        if name == package:
            raise ImportError(name)
        return SimpleNamespace()

    monkeypatch.setattr(onnx_file, "import_module", find)
    with pytest.raises(InputError, match=rf'need {package}: pip install "solo_d2\[openvino\]", or nncf'):
        quantize_openvino("m.onnx", tmp_path / "m.xml", [])


@pytest.fixture(scope="module")
def exported(build, tmp_path_factory):
    """A model's file, and pictures of noise."""
    cfg, model = build("solov2_tiny")
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(model, cfg, Metadata(thing_classes=["a", "b", "c", "d", "e"]), path, num_candidates=100)
    rng = torch.Generator().manual_seed(3)
    return path, [torch.rand(3, 96, 128, generator=rng) * 255 for _ in range(8)]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"needs the extra openvino: {', '.join(MISSING)}")
@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_real_files(exported, tmp_path, form):
    path, images = exported
    quantize, suffix = {"onnx": (quantize_onnx, ".onnx"), "openvino": (quantize_openvino, ".xml")}[form]
    quantize(path, tmp_path / f"int8{suffix}", images)
    files = [tmp_path / f"int8{suffix}", tmp_path / "int8.bin"]
    assert sum(file.stat().st_size for file in files if file.exists()) < 0.4 * path.stat().st_size
    plain, quantized = load_exported(path), load_exported(files[0])
    assert quantized.description == replace(plain.description, precision="int8")
    assert _float_convolutions(files[0], form) == PREDICTING
    for batch in (images[:1], [image[:, :64, :80] for image in images[:3]]):
        mine, other = (model.compute(model.feeds(batch)) for model in (quantized, plain))
        assert mine["scores"].shape == other["scores"].shape
        best = other["scores"][:, :5]
        assert (mine["scores"][:, :5] - best).abs().mean() < 0.1 * best.mean()


def _float_convolutions(path, form):
    """Returns how many convolutions read weights that were not quantized."""
    if form == "onnx":
        import onnx

        graph = onnx.load(path).graph
        kinds = {name: node.op_type for node in graph.node for name in node.output}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        return sum(kinds.get(node.input[1]) != "DequantizeLinear" for node in convolutions)
    import openvino

    operators = openvino.Core().read_model(path).get_ops()
    convolutions = [one for one in operators if one.get_type_name() == "Convolution"]
    return sum(one.input_value(1).get_node().get_type_name() == "Constant" for one in convolutions)
