"""Which config key decides whether a weight exists and how large it is: the remedy where one does not fit."""

import math
import re
from collections.abc import Collection

_RESNETS = "MODEL.RESNETS."
_CONDINST = "MODEL.CONDINST."
_PYRAMID_WIDTH = "MODEL.FPN.OUT_CHANNELS or MODEL.BiFPN.OUT_CHANNELS"
_CONTROLLER = " or ".join(
    _CONDINST + key
    for key in (
        "MASK_HEAD.CHANNELS",
        "MASK_HEAD.NUM_LAYERS",
        "MASK_HEAD.COORDINATES",
        "MASK_BRANCH.OUT_CHANNELS",
    )
)
# Native name, key deciding its shape, key deciding its presence; "{}" is the meta-architecture's own group.
_KEYS = tuple(
    (re.compile(pattern), shape, presence)
    for pattern, shape, presence in (
        (r"backbone\.bottom_up\..*_offset\.", "DEFORM_MODULATED", "DEFORM_ON_PER_STAGE"),
        # Neither a stem nor a stage: the backbone is no ResNet.
        (r"backbone\.bottom_up\.(?!stem\.|res\d)", "MODEL.BACKBONE.NAME", "MODEL.BACKBONE.NAME"),
        (
            r"backbone\.bottom_up\..*norm\.",
            "RES2_OUT_CHANNELS, WIDTH_PER_GROUP or NUM_GROUPS",
            "NORM or DEPTH",
        ),
        (r"backbone\.bottom_up\.", "RES2_OUT_CHANNELS, WIDTH_PER_GROUP, NUM_GROUPS or DEPTH", "DEPTH"),
        (r"backbone\.fpn_.*norm\.", "MODEL.FPN.OUT_CHANNELS", "MODEL.FPN.NORM"),
        (r"backbone\.fpn_", "MODEL.FPN.OUT_CHANNELS", "MODEL.BACKBONE.NAME or MODEL.FPN.IN_FEATURES"),
        (r"backbone\.top_block\.", "MODEL.FPN.OUT_CHANNELS", "MODEL.BACKBONE.NAME or MODEL.FCOS.TOP_LEVELS"),
        (r"backbone\.(reducer|layers)\..*norm\.", "MODEL.BiFPN.OUT_CHANNELS", "MODEL.BiFPN.NORM"),
        (r"backbone\.(reducer|layers\.0)\.", "MODEL.BiFPN.OUT_CHANNELS", "MODEL.BACKBONE.NAME"),
        (r"backbone\.layers\.", "MODEL.BiFPN.OUT_CHANNELS", "MODEL.BiFPN.NUM_REPEATS"),
        (r"backbone\.neck\.dense\.", "{}.HIDDEN_DIM or {}.FEAT_DIM", "{}.LAMBDA"),
        (r"backbone\.neck\.", "{}.HIDDEN_DIM or {}.FEAT_DIM", "MODEL.META_ARCHITECTURE"),
        (r"backbone\.", "MODEL.BACKBONE.NAME", "MODEL.BACKBONE.NAME"),
        (r"dense_queue\.", "{}.QUEUE_SIZE or {}.FEAT_DIM", "{}.LAMBDA"),
        (r"queue\.", "{}.QUEUE_SIZE or {}.FEAT_DIM", "MODEL.META_ARCHITECTURE"),
        (r"head\.category_predictor\.", "{}.NUM_CLASSES", "MODEL.META_ARCHITECTURE"),
        (r"head\.embedding_predictor\.", "MODEL.FREESOLO.NUM_EMBEDDINGS", "MODEL.META_ARCHITECTURE"),
        (r"head\.kernel_predictor\.", "{}.NUM_MASKS", "MODEL.META_ARCHITECTURE"),
        (r"head\.(mask_)?predictors(_[xy])?\.", "{}.NUM_GRIDS", "{}.NUM_GRIDS"),
        (r"head\.(class|box|shared)_tower\..*norm\.", _PYRAMID_WIDTH, "{}.NORM"),
        (r"head\.\w+_tower\w*\..*norm\.", "{}.INSTANCE_CHANNELS", "{}.NORM"),
        (r"head\.\w+_tower\w*\.\d+\.offset\.", "{}.TYPE_DCN", "{}.NUM_DCN_CONVS"),
        (r"head\.\w+_tower\w*\.\d+\.conv\.", "{}.INSTANCE_CHANNELS", "{}.NUM_DCN_CONVS"),
        (r"head\.class_tower", _PYRAMID_WIDTH, "{}.NUM_CLS_CONVS"),
        (r"head\.box_tower", _PYRAMID_WIDTH, "{}.NUM_BOX_CONVS"),
        (r"head\.shared_tower", _PYRAMID_WIDTH, "{}.NUM_SHARE_CONVS"),
        (r"head\.\w+_tower", "{}.INSTANCE_CHANNELS", "{}.NUM_INSTANCE_CONVS"),
        (r"head\.class_predictor\.", "{}.NUM_CLASSES", "MODEL.META_ARCHITECTURE"),
        (r"head\.box_predictor\.", _PYRAMID_WIDTH, "{}.BOX_ON"),
        (r"head\.scales\.", "{}.IN_FEATURES", "{}.IN_FEATURES or {}.BOX_ON"),
        (r"head\.controller\.", _CONTROLLER, "MODEL.META_ARCHITECTURE"),
        (r"mask_branch\..*norm\.", f"{_CONDINST}MASK_BRANCH.CHANNELS", f"{_CONDINST}MASK_BRANCH.NORM"),
        (
            r"mask_branch\.refiners\.",
            f"{_CONDINST}MASK_BRANCH.CHANNELS",
            f"{_CONDINST}MASK_BRANCH.IN_FEATURES",
        ),
        (r"mask_branch\.tower\.", f"{_CONDINST}MASK_BRANCH.CHANNELS", f"{_CONDINST}MASK_BRANCH.NUM_CONVS"),
        (
            r"mask_branch\.",
            f"{_CONDINST}MASK_BRANCH.OUT_CHANNELS",
            f"MODEL.META_ARCHITECTURE or {_CONDINST}MASK_BRANCH.OUT_CHANNELS",
        ),
        (r"semantic_branch\.0\..*norm\.", f"{_CONDINST}MASK_BRANCH.CHANNELS", f"{_CONDINST}MASK_BRANCH.NORM"),
        (
            r"semantic_branch\.0\.",
            f"{_CONDINST}MASK_BRANCH.CHANNELS",
            f"{_CONDINST}MASK_BRANCH.SEMANTIC_LOSS_ON",
        ),
        (r"semantic_branch\.", "{}.NUM_CLASSES", f"{_CONDINST}MASK_BRANCH.SEMANTIC_LOSS_ON"),
        (r"sem_seg_head\.predictor\.", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "MODEL.SEM_SEG_HEAD.NAME"),
        (r"sem_seg_head\.", "MODEL.SEM_SEG_HEAD.CONVS_DIM", "MODEL.SEM_SEG_HEAD.NAME"),
        (r"mask_head\..*offset\.", "{}.TYPE_DCN", "{}.USE_DCN_IN_MASK"),
        (r"mask_head\.predictor", "{}.NUM_MASKS", "{}.USE_DCN_IN_MASK"),
        (r"mask_head\.", "{}.MASK_CHANNELS", "{}.MASK_IN_FEATURES"),
    )
)
# The layers a model with other classes replaces.
_CLASS_LAYERS = re.compile(
    r"(head\.(category|class)_predictor|semantic_branch\.1|sem_seg_head\.predictor)\.(weight|bias)"
)


def key_of_shape(name: str, group: str, there: tuple[int, ...] = (), here: tuple[int, ...] = ()) -> str:
    """The config key that decides a weight's shape.

    Args:
        name: the weight's, in this project's names.
        group: the meta-architecture's own config group, such as "MODEL.SOLOV2".
        there: its shape in the file.
        here: its shape in the model.

    Returns:
        Full key names; "MODEL.META_ARCHITECTURE" for a weight no pattern knows.
    """
    if name.startswith("head.kernel_predictor.") and there and here:
        return _key_of_kernels(there, here).replace("{}", group)
    return _key(name, group, 1)


def _key_of_kernels(there: tuple[int, ...], here: tuple[int, ...]) -> str:
    """The key behind the kernel predictor's rows, which are NUM_MASKS * KERNEL_SIZE^2, or its columns."""
    if there[0] == here[0]:
        return "{}.INSTANCE_CHANNELS"
    more, less = max(there[0], here[0]), min(there[0], here[0])
    if more % less:
        return "{}.NUM_MASKS or {}.KERNEL_SIZE"
    side = math.isqrt(more // less)
    return "{}.KERNEL_SIZE" if side % 2 and side * side == more // less else "{}.NUM_MASKS"


def key_of_presence(name: str, group: str) -> str:
    """The config key that decides whether a weight exists; see :func:`key_of_shape`."""
    return _key(name, group, 2)


def keys_of_presence(names: Collection[str], group: str) -> list[str]:
    """The distinct keys of :func:`key_of_presence`.

    A norm that is absent together with its convolution says nothing of the kind of norm.
    """
    names = [_in_query_encoder(name) for name in names]
    absent = set(names)
    telling = (n for n in names if ".norm." not in n or f"{n.rpartition('.norm.')[0]}.weight" not in absent)
    return list(dict.fromkeys(key_of_presence(name, group) for name in telling))


def is_class_layer(name: str) -> bool:
    """Whether a weight belongs to the last layer, one row for each class."""
    return _CLASS_LAYERS.fullmatch(name) is not None


def _in_query_encoder(name: str) -> str:
    """The query encoder's weight that DenseCL's key encoder has a copy of; another name as it is."""
    is_copy = name.startswith("key_encoder.")
    return name.replace("key_encoder.", "backbone.", 1).replace("/", ".") if is_copy else name


def _key(name: str, group: str, column: int) -> str:
    name = _in_query_encoder(name)
    for row in _KEYS:
        if row[0].match(name):
            key = row[column].replace("{}", group)
            return key if key.startswith("MODEL.") else _RESNETS + key.replace(" or ", f" or {_RESNETS}")
    return "MODEL.META_ARCHITECTURE"
