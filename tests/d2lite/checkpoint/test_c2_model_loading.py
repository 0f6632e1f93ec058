"""Matching of parameters by the ends of their names."""

import pytest
import torch

import detectron2
from detectron2.checkpoint import c2_model_loading


def align_and_update_state_dicts(model, checkpoint):
    """The real one also translates names of Caffe2 unless told not to."""
    is_real = "d2lite" not in detectron2.__version__
    keywords = {"c2_conversion": False} if is_real else {}
    return c2_model_loading.align_and_update_state_dicts(model, checkpoint, **keywords)


def test_the_longest_suffix_wins_and_the_rest_keeps_its_name():
    model = {"net.a.weight": torch.zeros(2), "net.b.a.weight": torch.zeros(2), "c": torch.zeros(1)}
    ckpt = {"a.weight": torch.ones(2), "b.a.weight": torch.full((2,), 2.0), "other": torch.ones(1)}
    found = align_and_update_state_dicts(model, ckpt)
    assert found["net.a.weight"].tolist() == [1, 1]
    assert found["net.b.a.weight"].tolist() == [2, 2]
    assert "c" not in found and "other" in found


def test_another_shape_is_not_loaded(caplog):
    found = align_and_update_state_dicts({"net.fc.weight": torch.zeros(2)}, {"fc.weight": torch.ones(3)})
    assert "net.fc.weight" not in found and "fc.weight" in caplog.text


def test_one_tensor_for_two_parameters_is_refused():
    model = {"x.a": torch.zeros(1), "y.a": torch.zeros(1)}
    with pytest.raises(ValueError, match="Cannot match one checkpoint key to multiple keys"):
        align_and_update_state_dicts(model, {"a": torch.ones(1)})
