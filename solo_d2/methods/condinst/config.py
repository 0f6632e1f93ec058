"""Keys of CondInst and of FCOS (https://arxiv.org/abs/1904.01355), the detector that it builds on.

Names and meanings follow the public Detectron2-style models, so their config files look the same.
"""

from detectron2.config import CfgNode
from solo_d2.modeling.meta_architecture import WeightKey

_PYRAMID_WIDTH = "MODEL.FPN.OUT_CHANNELS or MODEL.BiFPN.OUT_CHANNELS"
_CONTROLLER = (
    "MODEL.CONDINST.MASK_HEAD.CHANNELS or MODEL.CONDINST.MASK_HEAD.NUM_LAYERS or "
    "MODEL.CONDINST.MASK_HEAD.COORDINATES or MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS"
)
_BRANCH = "MODEL.CONDINST.MASK_BRANCH"
_BRANCH_WIDTH = f"{_BRANCH}.CHANNELS"
_BRANCH_OUTPUT = f"{_BRANCH}.OUT_CHANNELS"
CONDINST_WEIGHT_KEYS: tuple[WeightKey, ...] = (
    WeightKey(r"head\.(class|box|shared)_tower\..*norm\.", _PYRAMID_WIDTH, presence="MODEL.FCOS.NORM"),
    WeightKey(r"head\.class_tower", _PYRAMID_WIDTH, presence="MODEL.FCOS.NUM_CLS_CONVS"),
    WeightKey(r"head\.box_tower", _PYRAMID_WIDTH, presence="MODEL.FCOS.NUM_BOX_CONVS"),
    WeightKey(r"head\.shared_tower", _PYRAMID_WIDTH, presence="MODEL.FCOS.NUM_SHARE_CONVS"),
    WeightKey(
        r"head\.class_predictor\.",
        "MODEL.FCOS.NUM_CLASSES",
        presence="MODEL.META_ARCHITECTURE",
        per_class=True,
    ),
    WeightKey(r"head\.box_predictor\.", _PYRAMID_WIDTH, presence="MODEL.FCOS.BOX_ON"),
    WeightKey(
        r"head\.scales\.", "MODEL.FCOS.IN_FEATURES", presence="MODEL.FCOS.IN_FEATURES or MODEL.FCOS.BOX_ON"
    ),
    WeightKey(r"head\.controller\.", _CONTROLLER, presence="MODEL.META_ARCHITECTURE"),
    WeightKey(r"mask_branch\..*norm\.", _BRANCH_WIDTH, presence=f"{_BRANCH}.NORM"),
    WeightKey(r"mask_branch\.refiners\.", _BRANCH_WIDTH, presence=f"{_BRANCH}.IN_FEATURES"),
    WeightKey(r"mask_branch\.tower\.", _BRANCH_WIDTH, presence=f"{_BRANCH}.NUM_CONVS"),
    WeightKey(r"mask_branch\.", _BRANCH_OUTPUT, presence=f"MODEL.META_ARCHITECTURE or {_BRANCH_OUTPUT}"),
    WeightKey(r"semantic_branch\.0\..*norm\.", _BRANCH_WIDTH, presence=f"{_BRANCH}.NORM"),
    WeightKey(r"semantic_branch\.0\.", _BRANCH_WIDTH, presence=f"{_BRANCH}.SEMANTIC_LOSS_ON"),
    WeightKey(
        r"semantic_branch\.1\.",
        "MODEL.FCOS.NUM_CLASSES",
        presence=f"{_BRANCH}.SEMANTIC_LOSS_ON",
        per_class=True,
    ),
)


def add_condinst_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.CONDINST``."""
    cfg.MODEL.CONDINST = CfgNode()
    node = cfg.MODEL.CONDINST
    _add_mask_keys(node)
    _add_sampling_keys(node)
    _add_nms_keys(node)


def _add_mask_keys(node: CfgNode) -> None:
    """Bottom branch and mask head (sections 2.1, 2.2 and tables 1 to 4)."""
    node.MASK_BRANCH = CfgNode()
    # Backbone outputs fused, finest first; the finest one's stride is the mask head's.
    node.MASK_BRANCH.IN_FEATURES = ["p3", "p4", "p5"]
    # Width and depth, normalization ("BN", "SyncBN", "GN" or "").
    node.MASK_BRANCH.CHANNELS = 128
    node.MASK_BRANCH.NUM_CONVS = 4
    node.MASK_BRANCH.NORM = "BN"
    # C_bottom (table 2). 0: the mask head sees coordinates only (table 3).
    node.MASK_BRANCH.OUT_CHANNELS = 8
    # Auxiliary loss on a semantic map, in training only (section 2.3).
    node.MASK_BRANCH.SEMANTIC_LOSS_ON = False
    node.MASK_HEAD = CfgNode()
    # Width and depth of the dynamic layers (table 1).
    node.MASK_HEAD.CHANNELS = 8
    node.MASK_HEAD.NUM_LAYERS = 3
    # Coordinates it sees (table 3): "relative" to the instance's location, "absolute" or "none".
    node.MASK_HEAD.COORDINATES = "relative"
    # Per level of FCOS.IN_FEATURES, pixels: the unit of relative coordinates.
    node.SIZES_OF_INTEREST = [64, 128, 256, 512, 1024]
    # Input pixels per pixel of the predicted masks: the bottom branch's stride over the upsampling (table 4).
    node.MASK_OUT_STRIDE = 4


def _add_sampling_keys(node: CfgNode) -> None:
    """Adds the limits on positive locations that get a mask loss (section 2.3)."""
    # At most this many per batch, at random (500 in the paper's first version); -1: the next key decides.
    node.MAX_PROPOSALS = -1
    # At most this many per image, divided equally between instances, best scores first; -1: all.
    node.TOPK_PROPOSALS_PER_IM = 64


def _add_nms_keys(node: CfgNode) -> None:
    """Adds duplicate removal (table 5), masks and boxes."""
    # "box" is FCOS's; "matrix", "fast", "hard" and "soft" compare masks and need no boxes (SOLOv2 paper,
    # section 2.2 and table 3c).
    node.NMS_TYPE = "box"
    # Mask NMS: the number of best candidates that enter; decay function of "matrix" and "soft", and its
    # sigma; IoU above which "fast", "hard" and linear "soft" act; minimum score of a result.
    node.NMS_PRE = 500
    node.NMS_KERNEL = "gaussian"
    node.NMS_SIGMA = 2.0
    node.NMS_THR = 0.5
    node.UPDATE_THR = 0.05
    # Soft masks are binarized strictly above this probability.
    node.MASK_THR = 0.5
    # Whether results of box NMS have the bounds of their masks as boxes, as those of mask NMS always do,
    # instead of the detector's boxes.
    node.BOXES_FROM_MASKS = False


def add_fcos_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.FCOS``. Section numbers are the CondInst paper's."""
    cfg.MODEL.FCOS = CfgNode()
    node = cfg.MODEL.FCOS
    # Thing classes; the last label, NUM_CLASSES, means background.
    node.NUM_CLASSES = 80
    _add_level_keys(node)
    _add_head_keys(node)
    _add_inference_keys(node)


def _add_level_keys(node: CfgNode) -> None:
    """Pyramid levels and how instances are assigned to them (section 2.2)."""
    # Backbone outputs the head reads, finest first, and their strides in input pixels.
    node.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    node.FPN_STRIDES = [8, 16, 32, 64, 128]
    # Levels that the backbone adds above the coarsest of FPN.IN_FEATURES: 2 (p6, p7) or 0.
    node.TOP_LEVELS = 2
    # Bounds between the levels: largest distance in pixels from a location to the sides of its box.
    node.SIZES_OF_INTEREST = [64, 128, 256, 512]
    # Half side of the center region, in strides.
    node.POS_RADIUS = 1.5


def _add_head_keys(node: CfgNode) -> None:
    """Towers, predictors and their losses (sections 2.2, 2.3)."""
    # Depth of the class tower, of the box tower, and of a tower that both share (real-time models: 0, 0, 4).
    node.NUM_CLS_CONVS = 4
    node.NUM_BOX_CONVS = 4
    node.NUM_SHARE_CONVS = 0
    # Normalization of the towers: "GN" or "".
    node.NORM = "GN"
    # Initial foreground probability of every location and class (focal loss paper).
    node.PRIOR_PROB = 0.01
    # Whether boxes are predicted; without them CONDINST.NMS_TYPE must be a mask NMS (section 3.5).
    node.BOX_ON = True
    # Focal loss on classes.
    node.LOSS_ALPHA = 0.25
    node.LOSS_GAMMA = 2.0


def _add_inference_keys(node: CfgNode) -> None:
    """Inference (section 2.4)."""
    # A candidate's score must be larger: class * centerness, or the class alone (mmdet's models: False).
    node.INFERENCE_TH_TEST = 0.05
    node.THRESH_WITH_CTR = True
    # Final score: the square root of class * centerness, or the product (mmdet's models: False).
    node.SQRT_SCORE = True
    # Candidates kept per level, best first.
    node.PRE_NMS_TOPK_TEST = 1000
    # Whether boxes are clipped to the image before NMS instead of after it (mmdet's models: True).
    node.CLIP_BEFORE_NMS = False
    # IoU threshold of box NMS, and the maximum number of results per image.
    node.NMS_TH = 0.6
    node.POST_NMS_TOPK_TEST = 100
