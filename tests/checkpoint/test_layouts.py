"""Recorded names and shapes of published files: recognised, renamed without rest, fitting their config."""

import pytest
import torch

from solo_d2.checkpoint import ADAPTERS, adapter_named, detect, to_native
from solo_d2.checkpoint.fit import compare
from solo_d2.engine.weights import preprocessing_of
from solo_d2.structures import InputError
from tests.checkpoint.conftest import RECORDED


def test_names_are_distinct():
    names = [adapter.name for adapter in ADAPTERS]
    assert len(set(names)) == len(names)
    assert all(adapter_named(name).name == name for name in names)
    with pytest.raises(InputError, match="no layout mmdet4; known are freesolo"):
        adapter_named("mmdet4")


def test_nothing_is_recognised_in_own_names():
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


@pytest.mark.parametrize("recording", RECORDED)
def test_golden_names_fit_the_published_config(recording, recorded_weights, build_shapes):
    cfg, model = build_shapes(RECORDED[recording])
    native = to_native({"meta": {}, "state_dict": recorded_weights(recording)})
    fit = compare(native.weights, model.state_dict())
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
    assert sorted(native.notes) == [
        "1 not used: FreeSOLO's count of iterations",
        "2 not used: FreeSOLO's embedding layer, which only its training uses",
    ]
    _, model = build_shapes("adelaidet/solov2_R101_3x")
    fit = compare(native.weights, model.state_dict())
    assert (fit.missing, fit.left_over) == ((), ())
    assert set(fit.misfits) == {"head.category_predictor.weight", "head.category_predictor.bias"}
