"""CondInst's formats: recorded names there and back, and BiFPN's, of which there is no recording."""

import pytest
import torch

from solo_d2.checkpoint import detect, to_native
from solo_d2.checkpoint.condinst import ADELAIDET_CONDINST, ADELAIDET_CONDINST_BIFPN, MMDET_CONDINST

RECORDED = {
    "adelaidet_condinst_r50": ADELAIDET_CONDINST,
    "mmdet3_condinst_r50_fpn_ms-poly-90k_coco_instance": MMDET_CONDINST,
}
PARTS = {"backbone", "head", "mask_branch"}


@pytest.mark.parametrize("recording", RECORDED)
def test_golden_names_there_and_back(recording, recorded_weights):
    weights = recorded_weights(recording)
    adapter = RECORDED[recording]
    assert detect(weights) is adapter
    native = adapter.to_native(weights)
    back = adapter.from_native(native)
    assert back.keys() == weights.keys()
    assert all(back[name].shape == weights[name].shape for name in weights)
    kept = to_native({"model": weights})
    assert {name.partition(".")[0] for name in kept.weights} == PARTS
    assert kept.weights["head.scales.4"].shape == ()
    assert kept.preprocessing.short_side == 800


def test_golden_formats_agree(recorded_weights):
    """Both code bases' R50 models are one model here."""
    models = [to_native({"model": recorded_weights(recording)}).weights for recording in RECORDED]
    shapes = [{name: value.shape for name, value in model.items()} for model in models]
    assert shapes[0] == shapes[1]


def test_semantic_branch_and_shared_tower():
    names = {
        "mask_branch.seg_head.1.0.weight": "semantic_branch.0.1.weight",
        "mask_branch.seg_head.1.1.running_var": "semantic_branch.0.1.norm.running_var",
        "mask_branch.logits.bias": "semantic_branch.1.bias",
        "proposal_generator.fcos_head.share_tower.4.bias": "head.shared_tower.1.norm.bias",
    }
    assert list(ADELAIDET_CONDINST.to_native(dict.fromkeys(names, 0))) == list(names.values())
    assert list(ADELAIDET_CONDINST.from_native(dict.fromkeys(names.values(), 0))) == list(names)


def test_bifpn():
    names = {
        "backbone.bottom_up.backbone.res3.0.conv1.weight": "backbone.bottom_up.res3.0.conv1.weight",
        "backbone.bottom_up.res6.reduction.norm.bias": "backbone.reducer.norm.bias",
        "backbone.repeated_bifpn.0.lateral_2_f2.weight": "backbone.layers.0.laterals.2.weight",
        "backbone.repeated_bifpn.5.weights_f3_3_4": "backbone.layers.5.top_down.3.weights",
        "backbone.repeated_bifpn.5.outputs_f0_0_7.norm.bias": "backbone.layers.5.top_down.0.conv.norm.bias",
        "backbone.repeated_bifpn.1.weights_f1_1_7_8": "backbone.layers.1.bottom_up.0.weights",
        "backbone.repeated_bifpn.1.outputs_f4_4_11.weight": "backbone.layers.1.bottom_up.3.conv.weight",
        "mask_branch.refine.0.0.weight": "mask_branch.refiners.0.weight",
        "proposal_generator.fcos_head.cls_logits.weight": "head.class_predictor.weight",
    }
    weights = {name: torch.tensor(index) for index, name in enumerate(names)}
    assert detect(weights) is ADELAIDET_CONDINST_BIFPN
    native = ADELAIDET_CONDINST_BIFPN.to_native(weights)
    assert list(native) == list(names.values())
    assert ADELAIDET_CONDINST_BIFPN.from_native(native) == weights
