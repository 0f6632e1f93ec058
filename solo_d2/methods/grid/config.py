"""Keys that all methods of the SOLO family have under their own nodes.

Section numbers are the SOLO paper's unless SOLOv2's is named. Names and meanings follow the public
Detectron2-style SOLOv2 models, so their config files look the same.
"""

from detectron2.config import CfgNode
from solo_d2.modeling.meta_architecture import WeightKey

_WIDTH = "{}.INSTANCE_CHANNELS"
GRID_WEIGHT_KEYS: tuple[WeightKey, ...] = (
    WeightKey(
        r"head\.category_predictor\.", "{}.NUM_CLASSES", presence="MODEL.META_ARCHITECTURE", per_class=True
    ),
    WeightKey(r"head\.\w+_tower\w*\..*norm\.", _WIDTH, presence="{}.NORM"),
    WeightKey(r"head\.\w+_tower\w*\.\d+\.offset\.", "{}.TYPE_DCN", presence="{}.NUM_DCN_CONVS"),
    WeightKey(r"head\.\w+_tower\w*\.\d+\.conv\.", _WIDTH, presence="{}.NUM_DCN_CONVS"),
    WeightKey(r"head\.\w+_tower", _WIDTH, presence="{}.NUM_INSTANCE_CONVS"),
)


def add_level_keys(node: CfgNode) -> None:
    """Classes, pyramid levels, and how instances are assigned to cells (section 2.3, appendix A.1)."""
    # Thing classes; the last label, NUM_CLASSES, means background.
    node.NUM_CLASSES = 80
    # Backbone outputs the head reads, finest first, one per entry of NUM_GRIDS.
    node.INSTANCE_IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    # Strides in input pixels after the first level is halved and the last is resized to the one before.
    # At inference a mask must cover more than this many pixels of the finest mask resolution.
    node.FPN_INSTANCE_STRIDES = [8, 8, 16, 32, 32]
    # Range of sqrt(box area) in network-input pixels, inclusive; the ranges overlap on purpose.
    node.FPN_SCALE_RANGES = [[1, 96], [48, 192], [96, 384], [192, 768], [384, 2048]]
    # Cells per image side, S.
    node.NUM_GRIDS = [40, 36, 24, 16, 12]
    # The center region's sides as a fraction of the box's.
    node.SIGMA = 0.2
    # Target of the mask branch: "mask", or "contour", the object's outline, one mask pixel wide (SOLO paper,
    # appendix B.3, which trains it with MASK_LOSS "focal").
    node.MASK_TARGET = "mask"


def add_tower_keys(node: CfgNode, channels: int, num_convs: int) -> None:
    """The head's towers (sections 2.1, 2.2; SOLOv2's section 2.1.1 and appendix B).

    Args:
        node: The method's node.
        channels: The method's width.
        num_convs: The method's depth.
    """
    # Width and depth of every tower.
    node.INSTANCE_CHANNELS = channels
    node.NUM_INSTANCE_CONVS = num_convs
    # Normalization of every tower convolution: "GN", "BN", "SyncBN" or "".
    node.NORM = "GN"
    # Number of each tower's last convolutions that are deformable (light models 1, large models all), and
    # their type: "DCN", or "DCNv2" with predicted factors.
    node.NUM_DCN_CONVS = 0
    node.TYPE_DCN = "DCN"
    # Resizing from feature map to cells in the category branch: "interpolate", "adaptive_max_pool" or
    # "region_grid" (section 3.3, alignment).
    node.CATEGORY_ALIGN = "interpolate"
    # Initial foreground probability (focal loss paper).
    node.PRIOR_PROB = 0.01


def add_loss_keys(node: CfgNode) -> None:
    """Losses (section 2.3; SOLOv2's section 2.1.4)."""
    node.LOSS = CfgNode()
    # Focal loss of the category branch; the mask loss "focal" also uses alpha and gamma.
    node.LOSS.FOCAL_ALPHA = 0.25
    node.LOSS.FOCAL_GAMMA = 2.0
    node.LOSS.FOCAL_WEIGHT = 1.0
    # Mask loss: "dice", "bce" or "focal" (section 3.3, loss function), each with its weight; BCE weights a
    # mask's own pixels by BCE_POSITIVE_WEIGHT.
    node.LOSS.MASK_LOSS = "dice"
    node.LOSS.DICE_WEIGHT = 3.0
    node.LOSS.BCE_WEIGHT = 10.0
    node.LOSS.BCE_POSITIVE_WEIGHT = 2.0
    node.LOSS.MASK_FOCAL_WEIGHT = 20.0
    # Divisor of the mask loss: "masks" (all positive masks; the papers and the original models) or "cells"
    # (unique positive cells; mmdet's models).
    node.LOSS.MASK_DIVISOR = "masks"
    # Average the positive counts over all ranks instead of using each process's own (as published).
    node.LOSS.SYNC_COUNTS = False


def add_inference_keys(node: CfgNode) -> None:
    """Inference (SOLOv2's section 2.1.4 and section 2.2)."""
    # Candidates need a category score above this after points NMS.
    node.SCORE_THR = 0.1
    # Soft masks are binarized strictly above this probability.
    node.MASK_THR = 0.5
    # Maximum number of candidates that enter Matrix NMS, best first.
    node.NMS_PRE = 500
    # Maximum number of cells whose masks are computed, best category score first: a bound on time for images
    # where nearly every cell fires. The default is all cells of the default grids (3872), so none is dropped.
    node.MAX_CELLS = 4000
    # "matrix" (section 2.2), or one of the paper's baselines: "fast", "hard", "soft" (table 3c).
    node.NMS_TYPE = "matrix"
    # Decay function of "matrix" and "soft", "gaussian" or "linear", and the gaussian's sigma in
    # exp(-sigma * iou^2).
    node.NMS_KERNEL = "gaussian"
    node.NMS_SIGMA = 2.0
    # IoU above which "fast" and "hard" remove a mask and "soft" with the linear kernel lowers its score.
    node.NMS_THR = 0.5
    # Minimum decayed score of a result, inclusive, and maximum number of results per image.
    node.UPDATE_THR = 0.05
    node.MAX_PER_IMG = 100
