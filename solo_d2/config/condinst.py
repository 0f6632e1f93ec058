"""Keys of CondInst (Tian et al., "Instance and Panoptic Segmentation Using Conditional Convolutions").

Names and meanings follow the public Detectron2-style CondInst models where those have the key. The detector's
keys are ``MODEL.FCOS``.
"""

from detectron2.config import CfgNode


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
    # Width and depth, normalisation ("BN", "SyncBN", "GN" or "").
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
    """Which positive locations get a mask loss (section 2.3)."""
    # This many per batch at random (500: the first version of the paper); -1: the next key decides.
    node.MAX_PROPOSALS = -1
    # This many per image, the best-scoring ones of every instance, shared equally; -1: all.
    node.TOPK_PROPOSALS_PER_IM = 64


def _add_nms_keys(node: CfgNode) -> None:
    """Duplicate removal (table 5) and masks."""
    # "box" is FCOS's; "matrix", "fast", "hard" and "soft" compare masks and need no boxes (SOLOv2 paper,
    # section 2.2 and table 3c).
    node.NMS_TYPE = "box"
    # Of mask NMS: candidates that enter, best first; decay function of "matrix" and "soft" and its sigma; IoU
    # above which "fast", "hard" and the linear "soft" act; score a result needs.
    node.NMS_PRE = 500
    node.NMS_KERNEL = "gaussian"
    node.NMS_SIGMA = 2.0
    node.NMS_THR = 0.5
    node.UPDATE_THR = 0.05
    # Soft masks are binarised strictly above this probability.
    node.MASK_THR = 0.5
