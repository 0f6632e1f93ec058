"""Keys of SOLOv2 (Wang et al., "SOLOv2: Dynamic and Fast Instance Segmentation", NeurIPS 2020).

Names and meanings follow the public Detectron2-style SOLOv2 models, so that their config files read the same.
"""

from detectron2.config import CfgNode


def add_solov2_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.SOLOV2``. Section numbers are the SOLOv2 paper's unless SOLO's is named."""
    cfg.MODEL.SOLOV2 = CfgNode()
    node = cfg.MODEL.SOLOV2
    # Thing classes; the last label, NUM_CLASSES, means background.
    node.NUM_CLASSES = 80

    _add_level_keys(node)
    _add_head_keys(node)
    _add_loss_keys(node)
    _add_inference_keys(node)


def _add_level_keys(node: CfgNode) -> None:
    """Pyramid levels and how instances are assigned to them (SOLO paper, section 3.3)."""
    # Backbone outputs the category and kernel branches read, finest first, one per entry of NUM_GRIDS.
    node.INSTANCE_IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    # Strides in input pixels after the first level is halved and the last is resized to the one before.
    # At inference a mask must cover more than this many mask-feature pixels.
    node.FPN_INSTANCE_STRIDES = [8, 8, 16, 32, 32]
    # sqrt(box area) in network-input pixels, both bounds inclusive; ranges overlap on purpose.
    node.FPN_SCALE_RANGES = [[1, 96], [48, 192], [96, 384], [192, 768], [384, 2048]]
    # Cells per image side, S.
    node.NUM_GRIDS = [40, 36, 24, 16, 12]
    # The centre region's sides as a fraction of the box's.
    node.SIGMA = 0.2


def _add_head_keys(node: CfgNode) -> None:
    """Category, kernel and mask feature branches (sections 2.1.1, 2.1.2, appendix B)."""
    # Width and depth of the category and kernel towers.
    node.INSTANCE_CHANNELS = 512
    node.NUM_INSTANCE_CONVS = 4
    # Backbone outputs fused into the unified mask feature, finest (stride 4) first.
    node.MASK_IN_FEATURES = ["p2", "p3", "p4", "p5"]
    # Width of the fusion blocks, and E, the channels of the mask feature and of the 1x1 dynamic kernels.
    node.MASK_CHANNELS = 128
    node.NUM_MASKS = 256
    # Normalisation of every tower convolution: "GN", "BN", "SyncBN" or "".
    node.NORM = "GN"
    # Initial foreground probability of the category branch (focal loss paper).
    node.PRIOR_PROB = 0.01


def _add_loss_keys(node: CfgNode) -> None:
    """Losses (SOLO paper, section 3.3; section 2.1.4)."""
    node.LOSS = CfgNode()
    node.LOSS.FOCAL_ALPHA = 0.25
    node.LOSS.FOCAL_GAMMA = 2.0
    node.LOSS.FOCAL_WEIGHT = 1.0
    node.LOSS.DICE_WEIGHT = 3.0
    # What the mask loss is averaged over: "masks" (every positive mask; the papers and the original models)
    # or "cells" (unique positive cells; mmdet's models).
    node.LOSS.MASK_DIVISOR = "masks"
    # Average the positive counts over all ranks instead of using each process's own (as published).
    node.LOSS.SYNC_COUNTS = False


def _add_inference_keys(node: CfgNode) -> None:
    """Inference (section 2.1.4, section 2.2)."""
    # Category score after points NMS, strictly above.
    node.SCORE_THR = 0.1
    # Soft masks are binarised strictly above this probability.
    node.MASK_THR = 0.5
    # Candidates that enter Matrix NMS, best first.
    node.NMS_PRE = 500
    # Cells whose masks are computed at all, best category score first: a bound on time for images where
    # nearly every cell fires. The default is all cells of the default grids (3872): nothing is cut.
    node.MAX_CELLS = 4000
    # "matrix" (section 2.2), or what the paper compares it with: "fast", "hard", "soft" (table 3c).
    node.NMS_TYPE = "matrix"
    # Decay function of "matrix" and "soft", "gaussian" or "linear", and the gaussian's sigma in
    # exp(-sigma * iou^2).
    node.NMS_KERNEL = "gaussian"
    node.NMS_SIGMA = 2.0
    # IoU above which "fast" and "hard" remove a mask and "soft" with the linear kernel lowers its score.
    node.NMS_THR = 0.5
    # Decayed score that a result needs, inclusive, and the most results kept per image.
    node.UPDATE_THR = 0.05
    node.MAX_PER_IMG = 100
