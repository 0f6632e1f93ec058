"""Exported files: what they say, what is refused, and the results of :class:`Predictor` on them.

Most tests have a stand-in for the runtime. Those with real files are slow and need the extra "export".
"""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from detectron2.data import Metadata
from solo_d2 import Predictor
from solo_d2.config import get_cfg
from solo_d2.export import checksum, export_onnx, onnx_export, onnx_file, onnx_runtime
from solo_d2.export.onnx_file import Description, check_content, store
from solo_d2.export.onnx_runtime import OnnxModel, start_session
from solo_d2.methods.panoptic.postprocess import PanopticMerge
from solo_d2.utils.errors import InputError
from tests.export.stand_in import CARD, DESCRIPTION, PREPROCESSING, RUNTIME, Proto

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
MISSING = [name for name in PACKAGES if find_spec(name) is None]
# A file with nothing but a checksum.
SILENT = b"\x0a\x10solo_d2.checksum\x12\x40" + checksum.EMPTY_CHECKSUM.encode()
LAMP = Metadata(thing_classes=["lamp"], thing_dataset_id_to_contiguous_id={7: 0})


@pytest.fixture
def runtime(monkeypatch):
    """Replaces the packages by the stand-in."""
    for module in (onnx_file, onnx_export, onnx_runtime):
        monkeypatch.setattr(module, "required", lambda name: RUNTIME)


@pytest.fixture
def write(tmp_path):
    """``write(description)`` writes a stand-in's file."""

    def write(description=DESCRIPTION):
        path = tmp_path / "model.onnx"
        path.write_bytes(store(Proto(), description))
        return path

    return write


def test_a_description_is_read_back():
    assert Description.from_json(DESCRIPTION.to_json(), "x") == DESCRIPTION


def test_a_panoptic_description_is_read_back():
    said = replace(DESCRIPTION, semantic_stride=4, merge=PanopticMerge(0.5, 64, 0.4))
    assert Description.from_json(said.to_json(), "x") == said


def test_a_description_of_an_earlier_or_a_richer_version_is_read():
    stored = json.loads(DESCRIPTION.to_json())
    del stored["aligned"], stored["license"], stored["semantic_stride"], stored["merge"]
    found = Description.from_json(json.dumps({**stored, "novelty": 1}), "x")
    assert found == replace(DESCRIPTION, aligned=False, license=Description.license)
    del stored["masks"]
    assert Description.from_json(json.dumps({**stored, "full_masks": True}), "x").masks == "full"
    assert Description.from_json(json.dumps({**stored, "full_masks": False}), "x").masks == "soft"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "x has a damaged description: export the model again"),
        ("[]", "x has a damaged description"),
        ("{}", "x has a damaged description"),
        ('{"format": 2}', "x was written by a later version of solo_d2: update solo_d2 to read it"),
        ('{"format": 1, "mask_stride": "4"}', "x has a damaged mask_stride"),
        ('{"format": 1, "mask_stride": 0}', "x has a damaged mask_stride"),
        ('{"format": 1, "mask_stride": true}', "x has a damaged mask_stride"),
        ('{"format": 1, "mask_threshold": NaN}', "x has a damaged mask_threshold"),
        ('{"format": 1, "mask_threshold": 1.5}', "x has a damaged mask_threshold"),
        ('{"format": 1, "masks": 0}', "x has a damaged masks"),
        ('{"format": 1, "license": null}', "x has a damaged license"),
        ("", "x has a damaged description"),
        ('{"format": 1, "merge": {"overlap_thresh": 0.5}}', "x has a damaged stuff_area_limit"),
        ('{"format": 1, "merge": 1}', "x has a damaged overlap_thresh"),
    ],
)
def test_damaged_descriptions(text, message):
    with pytest.raises(InputError, match=message):
        Description.from_json(text, "x")


def test_every_changed_byte_is_noticed():
    content = store(Proto(), DESCRIPTION)
    check_content(content, "x")
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(InputError, match="^x is (damaged|not a model)"):
            check_content(bytes(damaged), "x")


@pytest.mark.parametrize(
    "said", [{"mean": None}, {"mean": (1.0,)}, {"std": (1.0, 1.0, float("nan"))}, {"long_side": 0}]
)
def test_files_that_do_not_say_how_to_prepare_images(runtime, write, said):
    description = replace(DESCRIPTION, preprocessing=replace(PREPROCESSING, **said))
    with pytest.raises(InputError, match="model.onnx does not say how to prepare images"):
        Predictor(write(description))


def test_a_file_of_the_first_version_is_read(runtime):
    """The recording is a stand-in's file, as that version wrote it."""
    recorded = Path(__file__).resolve().parents[1] / "recordings" / "exported_0.1.0.onnx"
    predictor = Predictor(recorded)
    assert predictor.model.description == DESCRIPTION and predictor.class_names == ["lamp"]
    assert len(predictor(np.full((64, 80, 3), 255, np.uint8), channels="BGR")) == 1


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign", "full", "silent"])
def test_files_that_cannot_be_used(runtime, write, damage):
    path = write()
    content = path.read_bytes()
    messages = {
        "missing": (None, "cannot be read: No such file"),
        "cut": (content[:-9], "is not a model that solo-d2 export has written, or it is damaged"),
        "foreign": (b"no model", "is not a model that solo-d2 export has written"),
        "full": (store(Proto(), replace(DESCRIPTION, masks="full")), "export it with --masks soft"),
        "silent": (checksum.fill_in(SILENT, onnx_file._CHECKSUM), "has a damaged description"),
    }
    content, message = messages[damage]
    path.write_bytes(content) if content is not None else path.unlink()
    with pytest.raises(InputError, match=message) as info:
        Predictor(path)
    assert str(path) in str(info.value)


def test_a_file_that_the_runtime_refuses(runtime):
    with pytest.raises(InputError, match="x cannot be read by ONNX Runtime 0: bad magic$"):
        start_session(b"unreadable", "x")


def test_the_predictor_prepares_images_as_the_file_says(runtime, write):
    predictor = Predictor(write(), score_threshold=0.3, batch_size=2)
    assert predictor.class_names == ["lamp"] and predictor.category_ids == {0: 7}
    assert predictor.cfg.INPUT.FORMAT == "BGR" and predictor.cfg.MODEL.META_ARCHITECTURE == "SOLOv2"
    dark = np.zeros((64, 80, 3), np.uint8)
    lit = dark.copy()
    lit[10:30, 40:60] = 255
    wide = np.zeros((64, 128, 3), np.uint8)
    first, second, third = predictor([dark, lit, wide])
    assert [len(one) for one in (first, second, third)] == [0, 1, 0]
    assert second.pred_masks[0, 10:30, 40:60].all() and second.pred_masks.sum() == 400
    assert second.pred_boxes.tensor.tolist() == [[40, 10, 60, 30]]
    assert second.image_size == (64, 80) and second.pred_classes.tolist() == [0]
    batches = predictor.model._session.batches
    assert [batch.shape for batch in batches] == [(2, 3, 64, 96), (1, 3, 64, 128)]
    assert (batches[0][:, :, :, 80:] == np.array([10, 20, 30]).reshape(1, 3, 1, 1)).all()


def test_results_have_the_pictures_size(runtime, write):
    lit = np.full((32, 40, 3), 255, np.uint8)
    (found,) = Predictor(write()).predict([lit])
    assert found["instances"].pred_masks.shape == (1, 32, 40) and found["instances"].pred_masks.all()
    assert OnnxModel(write())([{"image": torch.full((3, 10, 12), 255.0)}])[0]["instances"].image_size == (
        10,
        12,
    )


@pytest.mark.parametrize("given", [{"weights": "a.pth"}, {"opts": ["SEED", "1"]}, {"device": "cuda"}])
def test_a_file_needs_no_other_settings(runtime, write, given):
    with pytest.raises(
        InputError, match="model.onnx has its weights and settings in it, and runs on the CPU; only MODEL"
    ):
        Predictor(write(), **given)


@pytest.mark.parametrize("package", PACKAGES)
def test_missing_packages_are_named(monkeypatch, tmp_path, package):
    def find(name):
        if name == package:
            raise ImportError(name)
        return RUNTIME

    monkeypatch.setattr(onnx_file, "import_module", find)
    with pytest.raises(InputError, match=rf"exported models need {package}: pip install"):
        export_onnx(torch.nn.Identity(), get_cfg(), Metadata(), tmp_path / "model.onnx")


def test_other_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="model.pt: the file name must end in .onnx"):
        export_onnx(torch.nn.Identity(), get_cfg(), Metadata(), tmp_path / "model.pt")


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_a_file_is_written_only_if_it_gives_the_models_scores(runtime, build, monkeypatch, tmp_path, error):
    """The stand-in computes with the model itself."""
    cfg, model = build("solov2_tiny")
    monkeypatch.setattr(onnx_export, "_convert", lambda fixed, step: Proto())

    class OwnSession(RUNTIME.InferenceSession):
        def run(self, outputs, feeds):
            with torch.no_grad():
                scores = onnx_export.fixed_inference(model)(torch.from_numpy(feeds["images"]))["scores"]
            return [(scores + error).numpy()]

    monkeypatch.setattr(RUNTIME, "InferenceSession", OwnSession)
    path = tmp_path / "new" / "model.onnx"
    if error:
        with pytest.raises(
            InputError, match=r"scores differ from the model's by 0.5, so nothing was written"
        ):
            export_onnx(model, cfg, LAMP, path)
        assert not list(path.parent.iterdir())
        return
    said = export_onnx(model, cfg, LAMP, path)
    assert said.num_candidates == 200 and said.card.categories == CARD.categories
    assert said.card.architecture == "SOLOv2" and said.preprocessing.channels == cfg.INPUT.FORMAT
    assert said.card.score_thresholds["MODEL.SOLOV2.SCORE_THR"] == cfg.MODEL.SOLOV2.SCORE_THR
    assert OnnxModel(path).description == said


REAL = [
    ("solov2_tiny", ()),
    ("solov2_tiny", ("MODEL.SOLOV2.KERNEL_SIZE", "3", "MODEL.SOLOV2.NUM_DCN_CONVS", "1")),
    ("solo_tiny", ()),
    ("decoupled_solo_tiny", ()),
    ("freesolo_tiny", ()),
    ("condinst_tiny", ()),
    ("condinst_tiny", ("MODEL.CONDINST.NMS_TYPE", "matrix")),
    ("panoptic_solov2_tiny", ("MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH", "0.2")),
    ("panoptic_condinst_tiny", ("MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH", "0.2")),
]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"needs the extra export: {', '.join(MISSING)}")
@pytest.mark.parametrize(("name", "opts"), REAL)
def test_real_files_give_the_eager_models_instances(
    build, same_instances, same_panoptic, tmp_path, name, opts
):
    cfg, model = build(name, "INPUT.MIN_SIZE_TEST", "96", *opts)
    path = tmp_path / "model.onnx"
    names = Metadata(thing_classes=["a", "b", "c", "d", "e"])
    export_onnx(model, cfg, names, path, num_candidates=500, for_tensorrt=True)
    exported = OnnxModel(path)
    rng = torch.Generator().manual_seed(1)
    noise = [torch.rand(3, *size, generator=rng) * 255 for size in ((96, 130), (90, 70), (96, 130))]
    plain = model.pixel_mean.expand(3, 96, 130)  # nothing is found there
    found = {}
    for batch in (noise[:1], noise, [plain], noise[:1], [plain, noise[2]]):
        inputs = [{"image": image, "height": 2 * image.shape[1], "width": 100} for image in batch]
        with torch.no_grad():
            wanted = model(inputs)
        for image, mine, other in zip(batch, exported(inputs), wanted, strict=True):
            same_instances(mine["instances"], other["instances"])
            same_panoptic(mine, other)
            found[image is plain] = found.get(image is plain, 0) + len(mine["instances"])
    assert found[True] == 0 and found[False] > 10
