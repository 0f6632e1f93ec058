"""Names of weights to names of config keys."""

import pytest

from solo_d2.checkpoint.config_keys import is_class_layer, key_of_presence, key_of_shape

GROUP = "MODEL.SOLOV2"


@pytest.mark.parametrize(
    ("name", "shape", "presence"),
    [
        ("backbone.bottom_up.res4.22.conv1.weight", "MODEL.RESNETS.DEPTH", "MODEL.RESNETS.DEPTH"),
        ("backbone.bottom_up.res3.0.conv2_offset.bias", "DEFORM_MODULATED", "DEFORM_ON_PER_STAGE"),
        ("backbone.bottom_up.res3.0.conv2.norm.running_var", "NUM_GROUPS", "MODEL.RESNETS.NORM"),
        ("backbone.fpn_output2.weight", "MODEL.FPN.OUT_CHANNELS", "MODEL.FPN.IN_FEATURES"),
        ("backbone.fpn_output2.norm.weight", "MODEL.FPN.OUT_CHANNELS", "MODEL.FPN.NORM"),
        ("head.category_predictor.bias", "MODEL.SOLOV2.NUM_CLASSES", "MODEL.META_ARCHITECTURE"),
        ("head.category_tower.3.weight", "MODEL.SOLOV2.INSTANCE_CHANNELS", "MODEL.SOLOV2.NUM_INSTANCE_CONVS"),
        ("head.kernel_tower.3.conv.weight", "MODEL.SOLOV2.INSTANCE_CHANNELS", "MODEL.SOLOV2.NUM_DCN_CONVS"),
        ("head.mask_tower_x.3.offset.weight", "MODEL.SOLOV2.TYPE_DCN", "MODEL.SOLOV2.NUM_DCN_CONVS"),
        ("head.kernel_predictor.weight", "MODEL.SOLOV2.NUM_MASKS", "MODEL.META_ARCHITECTURE"),
        ("head.embedding_predictor.bias", "MODEL.FREESOLO.NUM_EMBEDDINGS", "MODEL.META_ARCHITECTURE"),
        ("head.mask_predictors.2.weight", "MODEL.SOLOV2.NUM_GRIDS", "MODEL.SOLOV2.NUM_GRIDS"),
        ("head.predictors_x.2.weight", "MODEL.SOLOV2.NUM_GRIDS", "MODEL.SOLOV2.NUM_GRIDS"),
        (
            "mask_head.branches.0.convs.0.weight",
            "MODEL.SOLOV2.MASK_CHANNELS",
            "MODEL.SOLOV2.MASK_IN_FEATURES",
        ),
        ("mask_head.predictor.offset.weight", "MODEL.SOLOV2.TYPE_DCN", "MODEL.SOLOV2.USE_DCN_IN_MASK"),
        ("head.class_tower.3.weight", "MODEL.FPN.OUT_CHANNELS", "NUM_CLS_CONVS"),
        ("head.scales.4", "FPN_STRIDES", "BOX_ON"),
        ("mask_branch.tower.0.weight", "MODEL.CONDINST.MASK_BRANCH", "MODEL.CONDINST.MASK_BRANCH"),
        ("semantic_branch.1.weight", "NUM_CLASSES", "MODEL.CONDINST.MASK_BRANCH.SEMANTIC_LOSS_ON"),
        ("sem_seg_head.predictor.bias", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "MODEL.SEM_SEG_HEAD.NAME"),
        ("sem_seg_head.convs.0.weight", "MODEL.SEM_SEG_HEAD.CONVS_DIM", "MODEL.SEM_SEG_HEAD.NAME"),
        ("something.else", "MODEL.META_ARCHITECTURE", "MODEL.META_ARCHITECTURE"),
    ],
)
def test_keys(name, shape, presence):
    assert shape in key_of_shape(name, GROUP)
    assert presence in key_of_presence(name, GROUP)
    assert key_of_shape(name, GROUP).startswith("MODEL.")


def test_class_layer():
    assert is_class_layer("head.category_predictor.weight")
    assert is_class_layer("head.class_predictor.bias") and is_class_layer("semantic_branch.1.weight")
    assert is_class_layer("sem_seg_head.predictor.weight")
    assert not is_class_layer("head.category_tower.0.weight")
