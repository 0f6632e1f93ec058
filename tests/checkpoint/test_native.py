"""From a file of any format to native weights and what is known of them."""

import torch

from solo_d2.checkpoint import read_native, to_native, write_weight_file
from solo_d2.checkpoint.adelaidet import ADELAIDET
from solo_d2.checkpoint.native import FORMAT_KEY, PREPROCESSING_KEY
from solo_d2.checkpoint.resnet import CAFFE2_RESNET

FOREIGN = {
    "ins_head.cate_pred.weight": torch.ones(3, 2),
    "ins_head.kernel_pred.weight": torch.ones(3, 2),
    "pixel_mean": torch.ones(3),
    "backbone.bottom_up.stem.conv1.weight": torch.ones(2),
}


def test_foreign_file(tmp_path):
    torch.save({"model": FOREIGN, "iteration": 7}, tmp_path / "m.pth")
    native = read_native(str(tmp_path / "m.pth"))
    assert native.format is ADELAIDET and native.whole_model and not native.folded_statistics
    assert set(native.weights) == {
        "head.category_predictor.weight",
        "head.kernel_predictor.weight",
        "backbone.bottom_up.stem.conv1.weight",
    }
    assert native.rest == {"iteration": 7}
    assert native.notes == ("1 not used: set by the config here",)
    assert native.preprocessing.channels == "BGR"


def test_a_converted_file_remembers(tmp_path):
    native = to_native({"conv1_w": torch.ones(1), "res2_0_branch2a_w": torch.ones(1)})
    assert native.format is CAFFE2_RESNET and native.folded_statistics
    for name in ("m.pth", "m.safetensors"):
        metadata = {FORMAT_KEY: native.format.name, PREPROCESSING_KEY: native.preprocessing.as_dict()}
        write_weight_file(str(tmp_path / name), native.weights, **metadata)
        again = read_native(str(tmp_path / name))
        assert again.weights.keys() == native.weights.keys()
        assert again.format is CAFFE2_RESNET and again.preprocessing == native.preprocessing


def test_what_a_file_says_of_images_goes_before_its_format():
    content = {"model": {"stem.conv1.weight": torch.ones(1), "res2.0.conv1.weight": torch.ones(1)}}
    assert to_native(content).preprocessing.channels is None
    assert to_native({**content, PREPROCESSING_KEY: {"channels": "RGB"}}).preprocessing.channels == "RGB"


def test_own_names():
    native = to_native({"model": {"head.a": torch.ones(1)}, FORMAT_KEY: "of a later version"})
    assert native.format is None and native.whole_model and native.preprocessing.as_dict() == {}
    assert not to_native({"model": {"backbone.bottom_up.a": torch.ones(1)}}).whole_model


def test_names_that_no_rule_knows():
    assert to_native({"model": FOREIGN}).left_over == ()
    assert to_native({"model": {**FOREIGN, "roi_heads.a": torch.ones(1)}}).left_over == ("roi_heads.a",)
    own = {"head.category_predictor.weight": torch.ones(1), "backbone.bottom_up.a": torch.ones(1)}
    assert to_native({"model": own}).left_over == ()
    stray = {**own, "roi_heads.a": torch.ones(1)}
    assert to_native({"model": stray}).left_over == ("roi_heads.a",)
    assert to_native({"model": stray, PREPROCESSING_KEY: {"channels": "BGR"}}).left_over == ()


def test_heuristics_are_left_to_detectron2():
    content = {"model": {"x.res2.0.conv1.weight": torch.ones(1)}, "matching_heuristics": True}
    assert to_native(content).heuristics


def test_a_resnet_goes_where_the_model_has_one():
    native = to_native({"stem.conv1.weight": torch.ones(1), "res2.0.conv1.weight": torch.ones(1)})
    below_fpn = ["backbone.bottom_up.stem.conv1.weight", "backbone.bottom_up.res2.0.conv1.weight"]
    assert list(native.placed_in([*below_fpn, "backbone.fpn_output2.weight"]).weights) == below_fpn
    bare = ["backbone.stem.conv1.weight", "backbone.res2.0.conv1.weight"]
    placed = native.placed_in(bare)
    assert list(placed.weights) == bare and placed.format is native.format and not placed.whole_model
