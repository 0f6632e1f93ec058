"""Translation of Caffe2's names, and matching by the ends of names."""

import pytest
import torch

from detectron2.checkpoint.c2_model_loading import (
    align_and_update_state_dicts,
    convert_basic_c2_names,
)

NAMES = {
    "conv1_w": "stem.conv1.weight",
    "res_conv1_bn_s": "stem.conv1.norm.weight",
    "res_conv1_bn_b": "stem.conv1.norm.bias",
    "res2_0_branch1_w": "res2.0.shortcut.weight",
    "res2_0_branch1_bn_s": "res2.0.shortcut.norm.weight",
    "res3_11_branch2a_w": "res3.11.conv1.weight",
    "res3_11_branch2b_bn_b": "res3.11.conv2.norm.bias",
    "res4_1_branch2c_bn_rm": "res4.1.conv3.norm.running_mean",
    "res4_1_branch2c_bn_riv": "res4.1.conv3.norm.running_var",
    "res5_0_branch2a_gn_s": "res5.0.conv1.norm.weight",
    "conv1_gn_s": "stem.conv1.norm.weight",
}


def test_names():
    assert convert_basic_c2_names(list(NAMES)) == list(NAMES.values())


def test_the_longest_suffix_wins_and_the_rest_keeps_its_name():
    model = {"net.a.weight": torch.zeros(2), "net.b.a.weight": torch.zeros(2), "c": torch.zeros(1)}
    ckpt = {"a.weight": torch.ones(2), "b.a.weight": torch.full((2,), 2.0), "other": torch.ones(1)}
    found = align_and_update_state_dicts(model, ckpt, c2_conversion=False)
    assert found["net.a.weight"].tolist() == [1, 1]
    assert found["net.b.a.weight"].tolist() == [2, 2]
    assert "c" not in found and "other" in found


def test_another_shape_is_not_loaded(caplog):
    found = align_and_update_state_dicts(
        {"net.fc.weight": torch.zeros(2)}, {"fc.weight": torch.ones(3)}, c2_conversion=False
    )
    assert "net.fc.weight" not in found and "fc.weight" in caplog.text


def test_one_tensor_for_two_parameters_is_refused():
    model = {"x.a": torch.zeros(1), "y.a": torch.zeros(1)}
    with pytest.raises(ValueError, match="Cannot match one checkpoint key to multiple keys"):
        align_and_update_state_dicts(model, {"a": torch.ones(1)}, c2_conversion=False)
