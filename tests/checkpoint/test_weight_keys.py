"""Names of weights to names of config keys."""

import re

import pytest

from detectron2.config import CfgNode
from solo_d2.checkpoint.compatibility import compare, problems
from solo_d2.checkpoint.weight_keys import is_class_layer, key_of_presence, key_of_shape, keys_of_presence
from solo_d2.engine.dataset_checks import method_name

GROUP = "MODEL.SOLOV2"


@pytest.mark.parametrize(
    ("name", "shape", "presence"),
    [
        ("backbone.bottom_up.res4.22.conv1.weight", "MODEL.RESNETS.DEPTH", "MODEL.RESNETS.DEPTH"),
        ("backbone.bottom_up.res3.0.conv2_offset.bias", "DEFORM_MODULATED", "DEFORM_ON_PER_STAGE"),
        ("backbone.bottom_up.res3.0.conv2.norm.running_var", "NUM_GROUPS", "MODEL.RESNETS.NORM"),
        ("backbone.bottom_up.level2.root.weight", "MODEL.BACKBONE.NAME", "MODEL.BACKBONE.NAME"),
        ("backbone.fpn_output2.weight", "MODEL.FPN.OUT_CHANNELS", "MODEL.FPN.IN_FEATURES"),
        ("backbone.fpn_output3.weight", "MODEL.FPN.OUT_CHANNELS", "MODEL.BACKBONE.NAME"),
        ("backbone.top_block.p6.weight", "MODEL.FPN.OUT_CHANNELS", "MODEL.FCOS.TOP_LEVELS"),
        ("backbone.reducer.weight", "MODEL.BiFPN.OUT_CHANNELS", "MODEL.BACKBONE.NAME"),
        ("backbone.layers.0.top_down.1.weights", "MODEL.BiFPN.OUT_CHANNELS", "MODEL.BACKBONE.NAME"),
        ("backbone.layers.5.top_down.1.conv.weight", "MODEL.BiFPN.OUT_CHANNELS", "MODEL.BiFPN.NUM_REPEATS"),
        ("backbone.layers.5.laterals.1.norm.bias", "MODEL.BiFPN.OUT_CHANNELS", "MODEL.BiFPN.NORM"),
        ("backbone.laterals.res3.weight", "MODEL.BACKBONE.NAME", "MODEL.BACKBONE.NAME"),
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
        ("head.category_tower.3.norm.bias", "MODEL.SOLOV2.INSTANCE_CHANNELS", "MODEL.SOLOV2.NORM"),
        ("head.class_tower.3.weight", "MODEL.FPN.OUT_CHANNELS", "NUM_CLS_CONVS"),
        ("head.box_tower.3.norm.weight", "MODEL.BiFPN.OUT_CHANNELS", "MODEL.SOLOV2.NORM"),
        ("head.shared_tower.3.weight", "MODEL.BiFPN.OUT_CHANNELS", "NUM_SHARE_CONVS"),
        ("head.scales.4", "IN_FEATURES", "BOX_ON"),
        ("head.controller.bias", "MODEL.CONDINST.MASK_HEAD.CHANNELS", "MODEL.META_ARCHITECTURE"),
        ("head.controller.bias", "MODEL.CONDINST.MASK_HEAD.NUM_LAYERS", "MODEL.META_ARCHITECTURE"),
        ("head.controller.bias", "MODEL.CONDINST.MASK_HEAD.COORDINATES", "MODEL.META_ARCHITECTURE"),
        ("head.controller.bias", "MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS", "MODEL.META_ARCHITECTURE"),
        (
            "mask_branch.refiners.2.weight",
            "MODEL.CONDINST.MASK_BRANCH.CHANNELS",
            "MODEL.CONDINST.MASK_BRANCH.IN_FEATURES",
        ),
        (
            "mask_branch.tower.0.weight",
            "MODEL.CONDINST.MASK_BRANCH.CHANNELS",
            "MODEL.CONDINST.MASK_BRANCH.NUM_CONVS",
        ),
        (
            "mask_branch.tower.0.norm.bias",
            "MODEL.CONDINST.MASK_BRANCH.CHANNELS",
            "MODEL.CONDINST.MASK_BRANCH.NORM",
        ),
        (
            "mask_branch.predictor.bias",
            "MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS",
            "MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS",
        ),
        (
            "semantic_branch.0.1.weight",
            "MODEL.CONDINST.MASK_BRANCH.CHANNELS",
            "MODEL.CONDINST.MASK_BRANCH.SEMANTIC_LOSS_ON",
        ),
        ("semantic_branch.1.weight", "NUM_CLASSES", "MODEL.CONDINST.MASK_BRANCH.SEMANTIC_LOSS_ON"),
        ("sem_seg_head.predictor.bias", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "MODEL.SEM_SEG_HEAD.NAME"),
        ("sem_seg_head.convs.0.weight", "MODEL.SEM_SEG_HEAD.CONVS_DIM", "MODEL.SEM_SEG_HEAD.NAME"),
        ("backbone.neck.whole.0.bias", "MODEL.SOLOV2.HIDDEN_DIM", "MODEL.META_ARCHITECTURE"),
        ("key_encoder.neck/dense/0/bias", "MODEL.SOLOV2.HIDDEN_DIM", "MODEL.SOLOV2.LAMBDA"),
        ("key_encoder.bottom_up/res4/22/conv1/weight", "MODEL.RESNETS.DEPTH", "MODEL.RESNETS.DEPTH"),
        ("dense_queue.keys", "MODEL.SOLOV2.QUEUE_SIZE", "MODEL.SOLOV2.LAMBDA"),
        ("queue.keys", "MODEL.SOLOV2.QUEUE_SIZE", "MODEL.META_ARCHITECTURE"),
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


# Between them they have every part that a model here can have.
CONFIGS = (
    "SOLO/solo_R50_1x",
    "SOLO/decoupled_solo_light_R50_dcn_3x",
    "SOLOv2/solov2_X101_64x4d_dcn_3x",
    "FreeSOLO/freesolo_R50_30k",
    "CondInst/condinst_R50_3x_sem",
    "CondInst/condinst_R50_BiFPN_3x_sem",
    "CondInst/condinst_RT_DLA34_4x_sem",
    "PanopticSOLOv2/panoptic_solov2_R50_1x",
    "quick/ablations/solo_single_scale",
    "quick/densecl_tiny",
)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_named_key_exists_and_is_no_group(config, build_shapes):
    cfg, model = build_shapes(config)
    group = f"MODEL.{method_name(cfg)}"
    named = {
        key
        for name in model.state_dict()
        for text in (key_of_shape(name, group), key_of_presence(name, group))
        for key in re.findall(r"MODEL\.[\w.]+", text)
    }
    for key in named:
        node = cfg
        for part in key.split("."):
            assert part in node, key
            node = node[part]
        assert not isinstance(node, CfgNode), key


def test_rows_of_the_kernel_predictor():
    def key(there, here):
        return key_of_shape("head.kernel_predictor.weight", GROUP, (there, 512, 3, 3), (here, 512, 3, 3))

    assert key(9 * 256, 256) == key(256, 9 * 256) == "MODEL.SOLOV2.KERNEL_SIZE"
    assert key(128, 256) == key(512, 256) == key(1024, 256) == "MODEL.SOLOV2.NUM_MASKS"
    assert key(9 * 64, 256) == "MODEL.SOLOV2.NUM_MASKS or MODEL.SOLOV2.KERNEL_SIZE"
    narrow, wide = (256, 256, 3, 3), (256, 512, 3, 3)
    assert key_of_shape("head.kernel_predictor.weight", GROUP, narrow, wide) == (
        "MODEL.SOLOV2.INSTANCE_CHANNELS"
    )


def test_a_norm_absent_with_its_convolution_names_no_norm():
    norms = [f"backbone.layers.0.top_down.0.conv.norm.{leaf}" for leaf in ("weight", "bias")]
    assert keys_of_presence(norms, GROUP) == ["MODEL.BiFPN.NORM"]
    convolution = "backbone.layers.0.top_down.0.conv.weight"
    assert keys_of_presence([*norms, convolution], GROUP) == ["MODEL.BACKBONE.NAME"]


@pytest.mark.parametrize("files", ["FPN", "BiFPN"])
def test_the_other_pyramid_names_the_backbone(files, build_shapes):
    models = {}
    for pyramid in ("FPN", "BiFPN"):
        _, model = build_shapes(f"CondInst/condinst_R50_{'BiFPN_' * (pyramid == 'BiFPN')}3x_sem")
        models[pyramid] = model.state_dict()
    fit = compare(models[files], models["FPN" if files == "BiFPN" else "BiFPN"])
    for exact in (False, True):
        found = problems(fit, group="MODEL.FCOS", exact=exact, whole_model=True, folded_statistics=False)
        assert all("MODEL.BACKBONE.NAME" in one for one in found if one.startswith(("it lacks", "the model")))
        assert any(one.startswith("the model has no place") for one in found)
        assert not any("NORM" in one for one in found)


def test_a_larger_kernel_names_its_size(build_shapes):
    name = "original/solov2_R50_1x"
    models = [build_shapes(name, "MODEL.SOLOV2.KERNEL_SIZE", size)[1].state_dict() for size in (3, 1)]
    [problem] = problems(
        compare(*models), group=GROUP, exact=False, whole_model=True, folded_statistics=False
    )
    assert problem.endswith("change MODEL.SOLOV2.KERNEL_SIZE")


@pytest.mark.parametrize(
    ("key", "value"),
    [("LAMBDA", 0.0), ("QUEUE_SIZE", 12), ("HIDDEN_DIM", 12), ("FEAT_DIM", 12)],
)
def test_a_changed_pre_training_names_its_key(key, value, build_shapes):
    """As resuming compares: in both directions, key encoder and queues included."""
    name = f"MODEL.DENSECL.{key}"
    models = [build_shapes("quick/densecl_tiny", *change)[1].state_dict() for change in ((), (name, value))]
    for one, other in (models, models[::-1]):
        found = problems(
            compare(one, other), group="MODEL.DENSECL", exact=True, whole_model=True, folded_statistics=False
        )
        assert found and all(name in text and "META_ARCHITECTURE" not in text for text in found)
