"""OpenVINO IR: what is refused, and the results of :class:`Predictor` on it.

Most tests have a stand-in for OpenVINO. Those with real files are slow and need the extra "openvino".
"""

import logging
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from detectron2.data import Metadata
from solo_d2 import Predictor
from solo_d2.export import checksum, export_onnx, export_openvino, load_exported, openvino_runtime
from solo_d2.export.openvino_runtime import CHECKSUM, compile_model, following
from solo_d2.utils.errors import InputError
from tests.export.stand_in import DESCRIPTION, Session

MISSING = [name for name in ("onnx", "onnxscript", "onnxruntime", "openvino") if find_spec(name) is None]
needs_packages = pytest.mark.skipif(bool(MISSING), reason=f"needs the extra openvino: {', '.join(MISSING)}")
XML = '<net><rt_info><solo_d2><checksum value="{}" /><!--{}--></solo_d2></rt_info></net>'


TEXT = DESCRIPTION.to_json()


class Model:
    """The part of ``openvino.Model`` that holds what the file says."""

    def __init__(self, said):
        self.said = said

    def has_rt_info(self, path):
        return path == ["solo_d2", "description"] and bool(self.said)

    def get_rt_info(self, path):
        return SimpleNamespace(value=self.said)

    def get_ops(self):
        return []


class Compiled(Session):
    """The stand-in for a runtime, called as OpenVINO's."""

    def __init__(self, settings):
        super().__init__(b"", None, None)
        self.settings = settings
        self.inputs, self.outputs = (
            [SimpleNamespace(get_any_name=lambda name=one.name: name) for one in ports]
            for ports in (self.get_inputs(), self.get_outputs())
        )

    def __call__(self, feeds):
        names = [one.name for one in self.get_outputs()]
        return dict(zip(names, self.run(names, feeds), strict=True))

    def get_property(self, name):
        return "f32" if self.settings[name] == "f16" else self.settings[name]  # a CPU without fp16


class Core:
    def read_model(self, xml, weights):
        if weights == b"unreadable":
            raise RuntimeError("Exception from src:1:\nbad magic\n")
        return Model(xml.decode().partition("<!--")[2].partition("-->")[0])

    def compile_model(self, model, device, settings):
        assert device == "CPU"
        return Compiled(settings)


TYPES = SimpleNamespace(f32="f32", bf16="bf16", f16="f16")
OPENVINO = SimpleNamespace(Core=Core, Type=TYPES, __version__="0")


@pytest.fixture
def runtime(monkeypatch):
    """Replaces OpenVINO by the stand-in."""
    monkeypatch.setattr(openvino_runtime, "required", lambda name: OPENVINO)


@pytest.fixture
def write(tmp_path):
    """``write(text, weights)`` writes a stand-in's files."""

    def write(text=TEXT, weights=b"weights"):
        path = tmp_path / "model.xml"
        xml = XML.format(checksum.EMPTY_CHECKSUM, text).encode()
        path.write_bytes(checksum.fill_in(xml, CHECKSUM, weights))
        path.with_suffix(".bin").write_bytes(weights)
        return path

    return write


def test_the_predictor_reads_it(runtime, write):
    predictor = Predictor(write())
    assert predictor.class_names == ["lamp"]
    lit = np.zeros((64, 80, 3), np.uint8)
    lit[10:30, 40:60] = 255
    assert [len(one) for one in predictor([lit * 0, lit, lit * 0])] == [0, 1, 0]
    assert predictor(lit).pred_boxes.tensor.tolist() == [[40, 10, 60, 30]]
    settings = predictor.model._session.settings
    assert settings["INFERENCE_PRECISION_HINT"] == "f32"
    assert settings["INFERENCE_NUM_THREADS"] == torch.get_num_threads()


@pytest.mark.parametrize(("precision", "hint", "warned"), [("bf16", "bf16", False), ("fp16", "f16", True)])
def test_precision_is_a_key(runtime, write, caplog, precision, hint, warned):
    """A CPU that has no such numbers is reported."""
    with caplog.at_level(logging.WARNING):
        predictor = Predictor(write(), opts=["MODEL.INFERENCE.PRECISION", precision])
    assert predictor.model._session.settings["INFERENCE_PRECISION_HINT"] == hint
    assert ("this CPU has no fp16 for OpenVINO, which computes in fp32" in caplog.text) == warned


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no weights", r"model.bin cannot be read: No such file"),
        ("other weights", r"model.xml \(with its .bin file\) is damaged: its checksum differs"),
        ("foreign", r"model.xml \(with its .bin file\) is not a model that solo-d2 export has written"),
        ("unreadable", r"model.xml cannot be read by OpenVINO 0: bad magic$"),
        ("silent", r"model.xml has a damaged description"),
        ("full", r"export it with --masks soft"),
    ],
)
def test_files_that_cannot_be_used(runtime, write, damage, message):
    texts = {"silent": "", "full": replace(DESCRIPTION, masks="full").to_json()}
    path = write(texts.get(damage, TEXT), damage.encode())
    if damage == "no weights":
        path.with_suffix(".bin").unlink()
    if damage == "other weights":
        path.with_suffix(".bin").write_bytes(b"of another model")
    if damage == "foreign":
        path.write_text("<net/>")
    with pytest.raises(InputError, match=message):
        Predictor(path)


def test_every_changed_byte_is_noticed(write):
    path = write(weights=bytes(range(256)))
    parts = [path.read_bytes(), path.with_suffix(".bin").read_bytes()]
    checksum.check(parts[0], CHECKSUM, "x", parts[1])
    for part in (0, 1):
        for place in range(0, len(parts[part]), 7):
            damaged = [bytearray(one) for one in parts]
            damaged[part][place] ^= 1
            with pytest.raises(InputError, match="^x is (damaged|not a model)"):
                checksum.check(bytes(damaged[0]), CHECKSUM, "x", bytes(damaged[1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_exported("m.xml", "fp8"), "precision must be one of fp32, bf16, fp16, not 'fp8'"),
        (lambda: load_exported("m.onnx", "bf16"), "m.onnx is computed in fp32, not bf16"),
        (lambda: load_exported("m.xml"), "m.xml cannot be read: No such file"),
        (lambda: export_openvino("m.onnx", "m.bin"), "m.bin: the file name must end in .xml"),
    ],
)
def test_mistakes_are_one_line(runtime, call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_only_what_follows_the_selection_keeps_float32():
    """Chain: conv -> top-k -> product; the product also reads conv."""
    product, top, conv = (_Node(name) for name in ("MatMul", "TopK", "Convolution"))
    conv.targets, top.targets = [top, product], [product]
    model = SimpleNamespace(get_ops=lambda: [conv, top, product])
    compiled = []
    core = SimpleNamespace(compile_model=lambda *given: compiled.append(given))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            openvino_runtime, "required", lambda name: SimpleNamespace(Core=lambda: core, Type=TYPES)
        )
        compile_model(model, "bf16")
    assert [bool(one.info) for one in (conv, top, product)] == [False, True, True]
    assert len(following([conv])) == 3 and len(compiled) == 1


class _Node:
    """The part of ``openvino.Node`` that a walk needs."""

    def __init__(self, kind):
        self.kind, self.info, self.targets = kind, {}, []

    def get_name(self):
        return self.kind

    get_type_name = get_name

    def get_rt_info(self):
        return self.info

    def outputs(self):
        ports = [SimpleNamespace(get_node=lambda one=one: one) for one in self.targets]
        return [SimpleNamespace(get_target_inputs=lambda: ports)]


# Name, and the key of a threshold on a final score.
REAL = [
    ("solov2_tiny", "MODEL.SOLOV2.UPDATE_THR"),
    ("decoupled_solo_tiny", "MODEL.DECOUPLED_SOLO.UPDATE_THR"),
]


@pytest.mark.slow
@needs_packages
@pytest.mark.parametrize(("name", "key"), REAL)
def test_real_files_give_the_eager_models_instances(build, same_instances, tmp_path, name, key):
    """Also for an image without instances before and after one with, and in batches."""
    rng = torch.Generator().manual_seed(1)
    sizes = [(96, 130), (96, 130), (90, 70), (90, 70), (96, 130), (96, 130)]
    images = [torch.rand(3, *size, generator=rng) * 255 for size in sizes]
    best = [_results(build(name)[1], [image])[0].scores.max().item() for image in images]
    order = sorted(range(len(best)), key=best.__getitem__)
    threshold = (best[order[2]] + best[order[3]]) / 2
    empty, full = ([images[i] for i in part] for part in (order[:3], order[3:]))
    cfg, model = build(name, key, str(threshold))
    export_onnx(
        model, cfg, Metadata(thing_classes=["a", "b", "c", "d", "e"]), tmp_path / "m.onnx", num_candidates=500
    )
    export_openvino(tmp_path / "m.onnx", tmp_path / "m.xml")
    exported, found = load_exported(tmp_path / "m.xml"), 0
    for batch in (empty[:1], full[:1], empty[:1], full[1:2], [empty[1], full[1]], full, empty[2:]):
        for mine, other in zip(_results(exported, batch), _results(model, batch), strict=True):
            same_instances(mine, other)
            found += len(mine)
    assert found >= 5
    assert [len(one) for one in _results(exported, [empty[0]]) + _results(exported, full)][0] == 0


@torch.no_grad()
def _results(model, images):
    return [one["instances"] for one in model([{"image": image} for image in images])]
