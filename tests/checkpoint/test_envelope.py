"""Wrappers, prefixes, averages and optimizer state around weights."""

import numpy as np
import pytest
import torch

from solo_d2.checkpoint.envelope import open_envelope
from solo_d2.utils.errors import InputError

WEIGHTS = {"a.weight": torch.ones(2), "b.bias": torch.zeros(1)}


def prefixed(prefix: str) -> dict:
    return {prefix + name: value for name, value in WEIGHTS.items()}


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"model": WEIGHTS},
        {"state_dict": prefixed("module."), "optimizer": {"state": {}}},
        {"state_dict": prefixed("model."), "meta": {}},
        {"model": {"state_dict": prefixed("module.model.")}},
        {"model_state": prefixed("model.module.")},
        {"model": prefixed("_orig_mod.")},
        {"model": prefixed("module._orig_mod.")},
        {"model": prefixed("_orig_mod.module.")},
        {"state_dict": prefixed("net.")},
        {"state_dict": prefixed("model.net._orig_mod.")},
        {"model": {"a._orig_mod.weight": WEIGHTS["a.weight"], "b.bias": WEIGHTS["b.bias"]}},
        {"state_dict": WEIGHTS, "ema_state_dict": prefixed("module.")},
        {"state_dict": {**WEIGHTS, "ema_a_weight": torch.zeros(2)}},
        {"state_dict": {**prefixed("module."), "ema_module_a_weight": torch.zeros(2)}},
        {"model": {name: value.numpy() for name, value in WEIGHTS.items()}},
    ],
)
def test_weights_are_found(content):
    envelope = open_envelope(content)
    assert envelope.weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(envelope.weights[name], WEIGHTS[name]) for name in WEIGHTS)
    assert bool(envelope.notes) == ("ema" in str(content))


def test_rest_is_kept():
    envelope = open_envelope({"model": {**WEIGHTS, "note": "text"}, "iteration": 3})
    assert envelope.rest == {"iteration": 3}
    assert open_envelope({"model": {"w": np.array(3.0)}}).weights["w"].shape == ()


def test_one_name_without_the_prefix_keeps_it():
    assert set(open_envelope({**prefixed("model."), "head": torch.ones(1)}).weights) == {
        "model.a.weight",
        "model.b.bias",
        "head",
    }


@pytest.mark.parametrize(
    "content", [{}, {"model": {}}, {"model": 3, "iteration": 1}, {"state_dict": {"a": "b"}}]
)
def test_no_weights(content):
    with pytest.raises(InputError, match="x.pth is not a checkpoint: it holds no dictionary of weights"):
        open_envelope(content, "x.pth")
