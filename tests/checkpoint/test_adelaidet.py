"""AdelaiDet's flat towers."""

import torch

from solo_d2.checkpoint import detect, to_native
from solo_d2.checkpoint.adelaidet import ADELAIDET, FREESOLO

NAMES = {
    "ins_head.cate_tower.0.weight": "head.category_tower.0.weight",
    "ins_head.cate_tower.1.bias": "head.category_tower.0.norm.bias",
    "ins_head.cate_tower.9.weight": "head.category_tower.3.weight",
    "ins_head.kernel_tower.10.weight": "head.kernel_tower.3.norm.weight",
    "ins_head.cate_pred.bias": "head.category_predictor.bias",
    "mask_head.convs_all_levels.3.conv2.1.weight": "mask_head.branches.3.convs.2.norm.weight",
    "mask_head.conv_pred.0.weight": "mask_head.predictor.weight",
    "backbone.fpn_lateral2.weight": "backbone.fpn_lateral2.weight",
}


def test_names_there_and_back():
    weights = {name: index for index, name in enumerate(NAMES)}
    for adapter in (ADELAIDET, FREESOLO):
        native = adapter.to_native(weights)
        assert native == {NAMES[name]: index for name, index in weights.items()}
        assert adapter.from_native(native) == weights


def test_the_embedding_is_freesolos():
    weights = {"ins_head.emb_pred.weight": 0}
    assert FREESOLO.to_native(weights) == {"head.embedding_predictor.weight": 0}
    assert FREESOLO.from_native(FREESOLO.to_native(weights)) == weights
    assert ADELAIDET.to_native(weights) == weights


def test_they_differ_in_preprocessing():
    assert (ADELAIDET.preprocessing.channels, FREESOLO.preprocessing.channels) == ("BGR", "RGB")
    assert ADELAIDET.preprocessing.stride_in_1x1 and not FREESOLO.preprocessing.stride_in_1x1


def test_freesolo_is_known_by_its_own_marks():
    shared = dict.fromkeys(("ins_head.cate_pred.bias", "ins_head.kernel_pred.bias"), torch.zeros(2))
    assert detect(shared) is ADELAIDET
    assert detect(shared | {"_iter": torch.zeros(1)}) is FREESOLO
    assert detect(shared | {"ins_head.emb_pred.bias": torch.zeros(128)}) is FREESOLO
    assert detect({"_iter": torch.zeros(1)}) is None


def test_a_file_with_a_mean_is_believed():
    """SOLOv2 of AdelaiDet's code on DenseCL's backbone: its names are those of models for BGR."""
    weights = dict.fromkeys(("ins_head.cate_pred.bias", "ins_head.kernel_pred.bias"), torch.zeros(2))
    guessed = to_native(weights).preprocessing
    assert guessed.channels == "BGR" and guessed.usual_for_format
    weights["pixel_mean"] = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    weights["pixel_std"] = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    native = to_native(weights)
    assert native.preprocessing.channels == "RGB" and not native.preprocessing.usual_for_format
    assert native.preprocessing.std == (58.395, 57.12, 57.375)
    assert native.notes == ("2 not used: set by the config here",)
