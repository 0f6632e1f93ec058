"""Which config key decides whether a weight exists and how large it is: the remedy where one does not fit."""

import re

_RESNETS = "MODEL.RESNETS."
# Native name, key deciding its shape, key deciding its presence; "{}" is the meta-architecture's own group.
_KEYS = tuple(
    (re.compile(pattern), shape, presence)
    for pattern, shape, presence in (
        (r"backbone\.bottom_up\..*_offset\.", "DEFORM_MODULATED", "DEFORM_ON_PER_STAGE"),
        (
            r"backbone\.bottom_up\..*norm\.",
            "RES2_OUT_CHANNELS, WIDTH_PER_GROUP or NUM_GROUPS",
            "NORM or DEPTH",
        ),
        (r"backbone\.bottom_up\.", "RES2_OUT_CHANNELS, WIDTH_PER_GROUP, NUM_GROUPS or DEPTH", "DEPTH"),
        (r"backbone\.fpn_.*norm\.", "MODEL.FPN.OUT_CHANNELS", "MODEL.FPN.NORM"),
        (r"backbone\.", "MODEL.FPN.OUT_CHANNELS", "MODEL.FPN.IN_FEATURES"),
        (r"head\.category_predictor\.", "{}.NUM_CLASSES", "MODEL.META_ARCHITECTURE"),
        (r"head\.embedding_predictor\.", "MODEL.FREESOLO.NUM_EMBEDDINGS", "MODEL.META_ARCHITECTURE"),
        (r"head\.kernel_predictor\.", "{}.NUM_MASKS", "MODEL.META_ARCHITECTURE"),
        (r"head\.(mask_)?predictors(_[xy])?\.", "{}.NUM_GRIDS", "{}.NUM_GRIDS"),
        (r"head\.\w+_tower\w*\.\d+\.offset\.", "{}.TYPE_DCN", "{}.NUM_DCN_CONVS"),
        (r"head\.\w+_tower\w*\.\d+\.conv\.", "{}.INSTANCE_CHANNELS", "{}.NUM_DCN_CONVS"),
        (r"head\.class_tower", "MODEL.FPN.OUT_CHANNELS", "{}.NUM_CLS_CONVS"),
        (r"head\.box_tower", "MODEL.FPN.OUT_CHANNELS", "{}.NUM_BOX_CONVS"),
        (r"head\.\w+_tower", "{}.INSTANCE_CHANNELS", "{}.NUM_INSTANCE_CONVS"),
        (r"head\.class_predictor\.", "{}.NUM_CLASSES", "MODEL.META_ARCHITECTURE"),
        (r"head\.box_predictor\.|head\.scales\.", "{}.FPN_STRIDES", "{}.BOX_ON"),
        (r"head\.controller\.", "MODEL.CONDINST.MASK_HEAD", "MODEL.META_ARCHITECTURE"),
        (r"mask_branch\.", "MODEL.CONDINST.MASK_BRANCH", "MODEL.CONDINST.MASK_BRANCH"),
        (r"semantic_branch\.", "{}.NUM_CLASSES", "MODEL.CONDINST.MASK_BRANCH.SEMANTIC_LOSS_ON"),
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


def key_of_shape(name: str, group: str) -> str:
    """The config key that decides a weight's shape.

    Args:
        name: the weight's, in this project's names.
        group: the meta-architecture's own config group, such as "MODEL.SOLOV2".

    Returns:
        Full key names; "MODEL.META_ARCHITECTURE" for a weight no pattern knows.
    """
    return _key(name, group, 1)


def key_of_presence(name: str, group: str) -> str:
    """The config key that decides whether a weight exists; see :func:`key_of_shape`."""
    return _key(name, group, 2)


def is_class_layer(name: str) -> bool:
    """Whether a weight belongs to the last layer, one row for each class."""
    return _CLASS_LAYERS.fullmatch(name) is not None


def _key(name: str, group: str, column: int) -> str:
    for row in _KEYS:
        if row[0].match(name):
            key = row[column].format(group)
            return key if key.startswith("MODEL.") else _RESNETS + key.replace(" or ", f" or {_RESNETS}")
    return "MODEL.META_ARCHITECTURE"
