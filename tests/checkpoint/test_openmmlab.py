"""Cases beyond the recorded names: deformable blocks, and places of the mask feature branch."""

import pytest

from solo_d2.checkpoint import detect
from solo_d2.checkpoint.openmmlab import MMDET, MMDET_BBOX_HEAD, MMDET_MASK_FEAT_HEAD, ORIGINAL_SOLO

DEFORMABLE = {
    "mask_head.cls_convs.3.conv.weight": "head.category_tower.3.conv.weight",
    "mask_head.cls_convs.3.conv.conv_offset.bias": "head.category_tower.3.offset.bias",
    "mask_head.cls_convs.3.gn.weight": "head.category_tower.3.conv.norm.weight",
    "mask_head.cls_convs.2.gn.weight": "head.category_tower.2.norm.weight",
    "mask_head.mask_feature_head.conv_pred.conv.conv_offset.weight": "mask_head.predictor.offset.weight",
    "mask_head.mask_feature_head.conv_pred.conv.weight": "mask_head.predictor.conv.weight",
    "mask_head.mask_feature_head.conv_pred.gn.bias": "mask_head.predictor.conv.norm.bias",
    "mask_head.mask_feature_head.convs_all_levels.3.conv2.conv.weight": "mask_head.branches.3.convs.2.weight",
    "mask_head.conv_cls.weight": "head.category_predictor.weight",
    "backbone.layer2.0.conv2.conv_offset.weight": "backbone.bottom_up.res3.0.conv2_offset.weight",
    "backbone.layer2.0.conv2.weight": "backbone.bottom_up.res3.0.conv2.weight",
    "neck.fpn_convs.0.conv.bias": "backbone.fpn_output2.bias",
}


def test_deformable_names_there_and_back():
    needed = {"mask_head.cls_convs.3.conv.conv_offset.weight": "head.category_tower.3.offset.weight"}
    names = DEFORMABLE | needed
    weights = {name: index for index, name in enumerate(names)}
    native = MMDET.to_native(weights)
    assert native == {names[name]: index for name, index in weights.items()}
    assert MMDET.from_native(native) == weights


@pytest.mark.parametrize(
    ("adapter", "head", "feature"),
    [
        (MMDET, "mask_head", "mask_head.mask_feature_head"),
        (MMDET_MASK_FEAT_HEAD, "mask_head", "mask_feat_head"),
        (MMDET_BBOX_HEAD, "bbox_head", "mask_feat_head"),
    ],
)
def test_places_of_the_mask_feature_branch(adapter, head, feature):
    weights = {
        f"{head}.conv_cls.bias": 0,
        f"{head}.cls_convs.0.conv.weight": 1,
        f"{feature}.conv_pred.gn.bias": 2,
    }
    assert detect(weights) is adapter
    native = adapter.to_native(weights)
    assert list(native) == [
        "head.category_predictor.bias",
        "head.category_tower.0.weight",
        "mask_head.predictor.norm.bias",
    ]
    assert adapter.from_native(native) == weights


def test_original_numbers_its_last_block():
    assert ORIGINAL_SOLO.to_native({"mask_feat_head.conv_pred.0.gn.bias": 0}) == {
        "mask_head.predictor.norm.bias": 0
    }


def test_older_names_of_offsets():
    """mmdet before 1.0: next to the backbone's convolutions, and as offset and mask together."""
    current = {name: index for index, name in enumerate(DEFORMABLE)}
    native = MMDET.to_native(current)
    inside = {name.replace(".conv_offset.", ".conv_offset_mask."): index for name, index in current.items()}
    outside = {
        name.replace(".conv2.conv_offset.", ".conv2_offset."): index for name, index in current.items()
    }
    for older in (inside, outside):
        assert older.keys() != current.keys()
        assert MMDET.to_native(older) == native
    assert MMDET.from_native(native) == current
