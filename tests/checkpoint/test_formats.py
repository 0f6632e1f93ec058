"""Recorded names and shapes of published files: recognized, renamed without rest, fitting their config."""

import pytest
import torch

from solo_d2.checkpoint import ADAPTERS, NativeWeights, adapter_named, detect, to_native
from solo_d2.checkpoint.adelaidet import ADELAIDET
from solo_d2.checkpoint.compatibility import Compatibility, compare, find_problems, find_remarks
from solo_d2.checkpoint.condinst import MMDET_CONDINST
from solo_d2.checkpoint.openmmlab import (
    MMDET,
    MMDET_BBOX_HEAD,
    MMDET_MASK_FEAT_HEAD,
    ORIGINAL_DECOUPLED_SOLO,
    ORIGINAL_SOLO,
)
from solo_d2.checkpoint.weight_keys import DeclaredWeights
from solo_d2.engine.weights import preprocessing_of
from solo_d2.utils.errors import InputError
from tests.checkpoint.conftest import RECORDED


def test_names_are_distinct():
    names = [adapter.name for adapter in ADAPTERS]
    assert len(set(names)) == len(names)
    assert all(adapter_named(name).name == name for name in names)
    with pytest.raises(InputError, match="no format mmdet4; known are freesolo"):
        adapter_named("mmdet4")


def test_nothing_is_recognized_in_own_names():
    assert detect(["head.category_predictor.weight", "backbone.bottom_up.stem.conv1.weight"]) is None


@pytest.mark.parametrize("recording", RECORDED)
def test_golden_names_there_and_back(recording, recorded_weights):
    weights = recorded_weights(recording)
    adapter = detect(weights)
    assert adapter is not None and RECORDED[recording].startswith(adapter.name.partition("-")[0])
    native = adapter.to_native(weights)
    assert len(native) == len(weights)
    back = adapter.from_native(native)
    assert back.keys() == weights.keys()
    assert all(back[name].shape == weights[name].shape for name in weights)
    numbers = {name: torch.tensor(index) for index, name in enumerate(weights)}
    back = adapter.from_native(adapter.to_native(numbers))
    assert {name: int(value) for name, value in back.items()} == {n: int(v) for n, v in numbers.items()}


# The recorded small models, whose outputs the tests of the meta-architectures reproduce; each in all formats
# that have its method, the recorded one first.
SMALL_MODELS = {
    "solo": (MMDET, ORIGINAL_SOLO),
    "decoupled_solo": (MMDET, ORIGINAL_DECOUPLED_SOLO),
    "decoupled_solo_light": (MMDET, ORIGINAL_DECOUPLED_SOLO),
    "solov2": (MMDET, MMDET_MASK_FEAT_HEAD, MMDET_BBOX_HEAD, ORIGINAL_SOLO, ADELAIDET),
    "solov2_light": (MMDET, MMDET_MASK_FEAT_HEAD, MMDET_BBOX_HEAD, ORIGINAL_SOLO, ADELAIDET),
    "condinst": (MMDET_CONDINST,),
}


@pytest.mark.parametrize("folder", SMALL_MODELS)
def test_golden_weights_there_and_back(folder, golden):
    prefix = "" if folder == "condinst" else "mask_head."
    recorded = golden(folder).load("state_dict")
    foreign = {f"{prefix}{name}": value for name, value in recorded.items()}
    native = None
    for adapter in SMALL_MODELS[folder]:
        foreign = foreign if native is None else adapter.from_native(native)
        assert detect(foreign) is adapter
        native = adapter.to_native(foreign)
        assert len(native) == len(recorded)
        back = adapter.from_native(native)
        assert back.keys() == foreign.keys()
        assert all(torch.equal(back[name], value) for name, value in foreign.items())
        assert {name.partition(".")[0] for name in native} <= {"head", "mask_head", "mask_branch"}
    back = SMALL_MODELS[folder][0].from_native(native)
    assert all(torch.equal(back[f"{prefix}{name}"], value) for name, value in recorded.items())


def compared(native: NativeWeights, model: torch.nn.Module) -> Compatibility:
    return compare(native.weights, model.state_dict(), DeclaredWeights(type(model)))


@pytest.mark.parametrize("recording", RECORDED)
def test_golden_names_fit_the_published_config(recording, recorded_weights, build_shapes):
    cfg, model = build_shapes(RECORDED[recording])
    native = to_native({"meta": {}, "state_dict": recorded_weights(recording)})
    fit = compared(native, model)
    assert (fit.missing, fit.left_over, fit.misfits) == ((), (), {})
    assert len(fit.matched) == len(native.weights)
    config = preprocessing_of(cfg)
    assert native.preprocessing.differences(config) == []
    assert native.preprocessing.size_difference(config) == ""
    assert native.preprocessing.short_side is not None


def test_golden_freesolo(recorded_weights, build_shapes):
    weights = recorded_weights("freesolo_r101")
    adapter = detect(weights)
    assert adapter.name == "freesolo" and adapter.preprocessing.channels == "RGB"
    assert adapter.from_native(adapter.to_native(weights)).keys() == weights.keys()
    native = to_native({"model": weights})
    assert "1 not used: FreeSOLO's count of iterations" in native.notes
    cfg, model = build_shapes("freesolo/freesolo_R101")
    assert cfg.MODEL.META_ARCHITECTURE == "FreeSOLO" and cfg.TEST.CLASS_AGNOSTIC
    fit = compared(native, model)
    assert (fit.missing, fit.left_over, fit.misfits) == ((), (), {})
    assert {"head.embedding_predictor.weight", "head.category_predictor.bias"} <= set(fit.matched)
    config = preprocessing_of(cfg)
    assert native.preprocessing.differences(config) == []
    assert native.preprocessing.size_difference(config) == ""


@pytest.mark.parametrize("config", ["original/solov2_R101_3x", "FreeSOLO/finetune_R101_images_20k"])
def test_golden_freesolo_goes_on_as_solov2(config, recorded_weights, build_shapes):
    """On other classes, without its embedding."""
    native = to_native({"model": recorded_weights("freesolo_r101")})
    _, model = build_shapes(config)
    fit = compared(native, model)
    assert fit.missing == ()
    assert fit.left_over == ("head.embedding_predictor.weight", "head.embedding_predictor.bias")
    assert set(fit.misfits) == {"head.category_predictor.weight", "head.category_predictor.bias"}
    assert find_problems(fit, exact=False, whole_model=True, folded_statistics=False) == []
    assert any(
        "no head.embedding_predictor: those weights are not used" in one
        for one in find_remarks(fit, folded_statistics=False)
    )
