"""Names of weights to names of config keys, as methods and backbones declare them."""

import pytest
from torch import nn

from detectron2.config import CfgNode
from solo_d2.checkpoint.compatibility import compare, find_problems
from solo_d2.checkpoint.weight_keys import DeclaredWeights
from solo_d2.config import get_cfg
from solo_d2.methods import SOLO, CondInst, DenseCL, FreeSOLO, PanopticCondInst, PanopticSOLOv2, SOLOv2
from solo_d2.modeling.backbones import BACKBONE_WEIGHT_KEYS
from solo_d2.modeling.meta_architecture import OTHER_WEIGHTS, WeightKey

METHODS = (SOLO, CondInst, DenseCL, FreeSOLO, PanopticCondInst, PanopticSOLOv2, SOLOv2)
NAME, RESNETS, FCOS = "MODEL.BACKBONE.NAME", "MODEL.RESNETS.", "MODEL.FCOS."
BRANCH, HEAD, OWN = "MODEL.CONDINST.MASK_BRANCH.", "MODEL.CONDINST.MASK_HEAD.", "MODEL.META_ARCHITECTURE"
FPN, BIFPN = "MODEL.FPN.OUT_CHANNELS", "MODEL.BiFPN.OUT_CHANNELS"


@pytest.mark.parametrize(
    ("method", "name", "shape", "presence"),
    [
        # Detectron2's own meta-architectures have the backbones' declarations.
        (nn.Module, "backbone.bottom_up.res4.22.conv1.weight", RESNETS + "DEPTH", RESNETS + "DEPTH"),
        (nn.Module, "backbone.res4.22.conv1.weight", RESNETS + "DEPTH", RESNETS + "DEPTH"),
        (nn.Module, "backbone.bottom_up.res3.0.conv2_offset.bias", "DEFORM_MODULATED", "DEFORM_ON_PER_STAGE"),
        (nn.Module, "backbone.bottom_up.res3.0.conv2.norm.running_var", "NUM_GROUPS", RESNETS + "NORM"),
        (nn.Module, "backbone.bottom_up.level2.root.weight", NAME, NAME),
        (nn.Module, "backbone.fpn_output2.weight", FPN, "MODEL.FPN.IN_FEATURES"),
        (nn.Module, "backbone.fpn_output3.weight", FPN, NAME),
        (nn.Module, "backbone.fpn_output2.norm.weight", FPN, "MODEL.FPN.NORM"),
        (nn.Module, "backbone.bottom_up.stem.weight", "EFFICIENTNET_LITE.VARIANT", NAME),
        (nn.Module, "backbone.bottom_up.blocks.3.expand.norm.bias", "LITE.VARIANT", "EFFICIENTNET_LITE.NORM"),
        (nn.Module, "backbone.bottom_up.network.stem.weight", "MODEL.TIMM.NAME", "MODEL.HUGGING_FACE.NAME"),
        (nn.Module, "backbone.laterals.res3.weight", NAME, NAME),
        (nn.Module, "head.category_predictor.bias", OWN, OWN),
        (CondInst, "backbone.top_block.p6.weight", FPN, FCOS + "TOP_LEVELS"),
        (CondInst, "backbone.reducer.weight", BIFPN, NAME),
        (CondInst, "backbone.layers.0.top_down.1.weights", BIFPN, NAME),
        (CondInst, "backbone.layers.5.top_down.1.conv.weight", BIFPN, "MODEL.BiFPN.NUM_REPEATS"),
        (CondInst, "backbone.layers.5.laterals.1.norm.bias", BIFPN, "MODEL.BiFPN.NORM"),
        (SOLOv2, "head.category_predictor.bias", "MODEL.SOLOV2.NUM_CLASSES", OWN),
        (SOLOv2, "head.category_tower.3.weight", "V2.INSTANCE_CHANNELS", "V2.NUM_INSTANCE_CONVS"),
        (SOLOv2, "head.category_tower.3.norm.bias", "V2.INSTANCE_CHANNELS", "MODEL.SOLOV2.NORM"),
        (SOLOv2, "head.kernel_tower.3.conv.weight", "V2.INSTANCE_CHANNELS", "MODEL.SOLOV2.NUM_DCN_CONVS"),
        (SOLOv2, "head.kernel_predictor.weight", "MODEL.SOLOV2.NUM_MASKS", OWN),
        (SOLOv2, "mask_head.branches.0.convs.0.weight", "V2.MASK_CHANNELS", "MODEL.SOLOV2.MASK_IN_FEATURES"),
        (SOLOv2, "mask_head.predictor.offset.weight", "V2.TYPE_DCN", "MODEL.SOLOV2.USE_DCN_IN_MASK"),
        (SOLOv2, "head.class_predictor.bias", OWN, OWN),
        (SOLO, "head.mask_tower_x.3.offset.weight", "MODEL.SOLO.TYPE_DCN", "MODEL.SOLO.NUM_DCN_CONVS"),
        (SOLO, "head.mask_predictors.2.weight", "MODEL.SOLO.NUM_GRIDS", "MODEL.SOLO.NUM_GRIDS"),
        (SOLO, "head.predictors_x.2.weight", "MODEL.SOLO.NUM_GRIDS", "MODEL.SOLO.NUM_GRIDS"),
        (FreeSOLO, "head.embedding_predictor.bias", "MODEL.FREESOLO.NUM_EMBEDDINGS", OWN),
        (FreeSOLO, "head.category_tower.3.weight", "MODEL.SOLOV2.INSTANCE_CHANNELS", "NUM_INSTANCE_CONVS"),
        (CondInst, "head.class_tower.3.weight", FPN, FCOS + "NUM_CLS_CONVS"),
        (CondInst, "head.box_tower.3.norm.weight", BIFPN, FCOS + "NORM"),
        (CondInst, "head.shared_tower.3.weight", BIFPN, FCOS + "NUM_SHARE_CONVS"),
        (CondInst, "head.scales.4", FCOS + "IN_FEATURES", FCOS + "BOX_ON"),
        (CondInst, "head.controller.bias", HEAD + "CHANNELS", OWN),
        (CondInst, "head.controller.bias", HEAD + "NUM_LAYERS", OWN),
        (CondInst, "head.controller.bias", HEAD + "COORDINATES", OWN),
        (CondInst, "head.controller.bias", BRANCH + "OUT_CHANNELS", OWN),
        (CondInst, "mask_branch.refiners.2.weight", BRANCH + "CHANNELS", BRANCH + "IN_FEATURES"),
        (CondInst, "mask_branch.tower.0.weight", BRANCH + "CHANNELS", BRANCH + "NUM_CONVS"),
        (CondInst, "mask_branch.tower.0.norm.bias", BRANCH + "CHANNELS", BRANCH + "NORM"),
        (CondInst, "mask_branch.predictor.bias", BRANCH + "OUT_CHANNELS", BRANCH + "OUT_CHANNELS"),
        (CondInst, "semantic_branch.0.1.weight", BRANCH + "CHANNELS", BRANCH + "SEMANTIC_LOSS_ON"),
        (CondInst, "semantic_branch.1.weight", FCOS + "NUM_CLASSES", BRANCH + "SEMANTIC_LOSS_ON"),
        (PanopticCondInst, "semantic_branch.1.weight", FCOS + "NUM_CLASSES", BRANCH + "SEMANTIC_LOSS_ON"),
        (PanopticCondInst, "sem_seg_head.predictor.bias", "SEM_SEG_HEAD.NUM_CLASSES", "SEM_SEG_HEAD.NAME"),
        (PanopticSOLOv2, "sem_seg_head.convs.0.weight", "SEM_SEG_HEAD.CONVS_DIM", "SEM_SEG_HEAD.NAME"),
        (DenseCL, "backbone.neck.whole.0.bias", "MODEL.DENSECL.HIDDEN_DIM", OWN),
        (DenseCL, "key_encoder.neck/dense/0/bias", "MODEL.DENSECL.HIDDEN_DIM", "MODEL.DENSECL.LAMBDA"),
        (DenseCL, "key_encoder.bottom_up/res4/22/conv1/weight", RESNETS + "DEPTH", RESNETS + "DEPTH"),
        (DenseCL, "dense_queue.keys", "MODEL.DENSECL.QUEUE_SIZE", "MODEL.DENSECL.LAMBDA"),
        (DenseCL, "queue.keys", "MODEL.DENSECL.QUEUE_SIZE", OWN),
        (DenseCL, "something.else", OWN, OWN),
    ],
)
def test_keys(method, name, shape, presence):
    declared = DeclaredWeights(method)
    assert shape in declared.key_of_shape(name, (4,), (2,))
    [found] = declared.keys_of_presence([name])
    assert presence in found and found.startswith("MODEL.")


def test_weights_per_class():
    per_class = {
        SOLOv2: ("head.category_predictor.weight",),
        CondInst: ("head.class_predictor.bias", "semantic_branch.1.weight"),
        PanopticSOLOv2: ("head.category_predictor.weight", "sem_seg_head.predictor.weight"),
    }
    for method, names in per_class.items():
        declared = DeclaredWeights(method)
        assert all(map(declared.is_per_class, names))
        assert not any(
            map(declared.is_per_class, ("head.category_tower.0.weight", "semantic_branch.0.1.weight"))
        )
    assert not DeclaredWeights(nn.Module).is_per_class("head.category_predictor.weight")


def test_parts_of_all_methods_count():
    """A file of one method is loaded into another, which need not know it."""
    part_of = DeclaredWeights(SOLOv2).part_of
    assert part_of("backbone.neck.whole.0.bias") == "backbone.neck"
    assert part_of("head.embedding_predictor.bias") == "head.embedding_predictor"
    assert part_of("backbone.bottom_up.stem.conv1.weight") == "backbone.bottom_up"
    assert part_of("backbone.fpn_output2.weight") == part_of("backbone.top_block.p6.weight") == "backbone.fpn"
    assert part_of("head.category_tower.0.weight") == "head"


def named_keys(key: WeightKey, group: str) -> set[str]:
    texts = [key.presence, key.shape if isinstance(key.shape, str) else key.shape((4,), (2,))]
    return {name.replace("{}", group) for text in texts for name in text.split(" or ")}


@pytest.mark.parametrize("method", [*METHODS, nn.Module])
def test_every_declared_key_exists_and_is_no_group(method):
    own = method.all_weight_keys() if method in METHODS else ()
    for key in (*own, *BACKBONE_WEIGHT_KEYS, OTHER_WEIGHTS):
        for name in named_keys(key, f"MODEL.{getattr(method, 'config_node', '')}"):
            node = get_cfg()
            for part in name.split("."):
                assert part in node, name
                node = node[part]
            assert not isinstance(node, CfgNode), name


def test_rows_of_the_kernel_predictor():
    declared = DeclaredWeights(SOLOv2)

    def key(there, here):
        return declared.key_of_shape("head.kernel_predictor.weight", (there, 512, 3, 3), (here, 512, 3, 3))

    assert key(9 * 256, 256) == key(256, 9 * 256) == "MODEL.SOLOV2.KERNEL_SIZE"
    assert key(128, 256) == key(512, 256) == key(1024, 256) == "MODEL.SOLOV2.NUM_MASKS"
    assert key(9 * 64, 256) == "MODEL.SOLOV2.NUM_MASKS or MODEL.SOLOV2.KERNEL_SIZE"
    narrow, wide = (256, 256, 3, 3), (256, 512, 3, 3)
    name = "head.kernel_predictor.weight"
    assert declared.key_of_shape(name, narrow, wide) == "MODEL.SOLOV2.INSTANCE_CHANNELS"


def test_a_norm_absent_with_its_convolution_names_no_norm():
    keys_of_presence = DeclaredWeights().keys_of_presence
    norms = [f"backbone.layers.0.top_down.0.conv.norm.{leaf}" for leaf in ("weight", "bias")]
    assert keys_of_presence(norms) == ["MODEL.BiFPN.NORM"]
    convolution = "backbone.layers.0.top_down.0.conv.weight"
    assert keys_of_presence([*norms, convolution]) == ["MODEL.BACKBONE.NAME"]


@pytest.mark.parametrize("files", ["FPN", "BiFPN"])
def test_the_other_pyramid_names_the_backbone(files, build_shapes):
    models = {}
    for pyramid in ("FPN", "BiFPN"):
        _, model = build_shapes(f"CondInst/condinst_R50_{'BiFPN_' * (pyramid == 'BiFPN')}3x_sem")
        models[pyramid] = model.state_dict()
    other = models["FPN" if files == "BiFPN" else "BiFPN"]
    fit = compare(models[files], other, DeclaredWeights(CondInst))
    for exact in (False, True):
        found = find_problems(fit, exact=exact, whole_model=True, folded_statistics=False)
        assert all("MODEL.BACKBONE.NAME" in one for one in found if one.startswith(("it lacks", "the model")))
        assert any(one.startswith("the model has no place") for one in found)
        assert not any("NORM" in one for one in found)


def test_a_larger_kernel_names_its_size(build_shapes):
    name = "original/solov2_R50_1x"
    models = [build_shapes(name, "MODEL.SOLOV2.KERNEL_SIZE", size)[1].state_dict() for size in (3, 1)]
    fit = compare(*models, DeclaredWeights(SOLOv2))
    [problem] = find_problems(fit, exact=False, whole_model=True, folded_statistics=False)
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
        fit = compare(one, other, DeclaredWeights(DenseCL))
        found = find_problems(fit, exact=True, whole_model=True, folded_statistics=False)
        assert found and all(name in text and "META_ARCHITECTURE" not in text for text in found)
