"""Keys of FCOS (https://arxiv.org/abs/1904.01355), the detector under CondInst, and of its backbones.

Names and meanings follow the public Detectron2-style FCOS models, so that their config files read the same.
"""

from detectron2.config import CfgNode


def add_fcos_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.FCOS``, ``MODEL.BiFPN`` and ``MODEL.DLA``. Section numbers are the CondInst paper's."""
    cfg.MODEL.FCOS = CfgNode()
    node = cfg.MODEL.FCOS
    # Thing classes; the last label, NUM_CLASSES, means background.
    node.NUM_CLASSES = 80
    _add_level_keys(node)
    _add_head_keys(node)
    _add_inference_keys(node)
    _add_backbone_keys(cfg)


def _add_level_keys(node: CfgNode) -> None:
    """Pyramid levels and how instances are assigned to them (section 2.2)."""
    # Backbone outputs the head reads, finest first, and their strides in input pixels.
    node.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    node.FPN_STRIDES = [8, 16, 32, 64, 128]
    # Levels the backbone makes above the coarsest of FPN.IN_FEATURES: 2 (p6, p7) or 0.
    node.TOP_LEVELS = 2
    # Bounds between the levels: largest distance in pixels from a location to the sides of its box.
    node.SIZES_OF_INTEREST = [64, 128, 256, 512]
    # Half side of the centre region, in strides.
    node.POS_RADIUS = 1.5


def _add_head_keys(node: CfgNode) -> None:
    """Towers, predictors and their losses (sections 2.2, 2.3)."""
    # Depth of the class tower, of the box tower and of a tower below both (real-time models: 0, 0, 4).
    node.NUM_CLS_CONVS = 4
    node.NUM_BOX_CONVS = 4
    node.NUM_SHARE_CONVS = 0
    # Normalisation of the towers: "GN" or "".
    node.NORM = "GN"
    # Initial foreground probability of every location and class (focal loss paper).
    node.PRIOR_PROB = 0.01
    # Whether boxes are predicted; without them CONDINST.NMS_TYPE has to be a mask NMS (section 3.5).
    node.BOX_ON = True
    # Focal loss on classes.
    node.LOSS_ALPHA = 0.25
    node.LOSS_GAMMA = 2.0


def _add_inference_keys(node: CfgNode) -> None:
    """Inference (section 2.4)."""
    # A candidate needs a larger score: class * centre-ness, or the class alone (mmdet's models: False).
    node.INFERENCE_TH_TEST = 0.05
    node.THRESH_WITH_CTR = True
    # Final score: the square root of class * centre-ness, or the product (mmdet's models: False).
    node.SQRT_SCORE = True
    # Candidates kept per level, best first.
    node.PRE_NMS_TOPK_TEST = 1000
    # Whether boxes are cut at the image's borders before NMS already (mmdet's models: True).
    node.CLIP_BEFORE_NMS = False
    # IoU above which box NMS suppresses, and the most results kept per image.
    node.NMS_TH = 0.6
    node.POST_NMS_TOPK_TEST = 100


def _add_backbone_keys(cfg: CfgNode) -> None:
    """Backbones of the larger and of the real-time models (sections 3.6, 3.7)."""
    cfg.MODEL.BiFPN = CfgNode()
    # Backbone outputs fused, finest first; channels, number and normalisation of the fusion's repetitions.
    cfg.MODEL.BiFPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.BiFPN.OUT_CHANNELS = 160
    cfg.MODEL.BiFPN.NUM_REPEATS = 6
    cfg.MODEL.BiFPN.NORM = "SyncBN"
    cfg.MODEL.DLA = CfgNode()
    # Normalisation of DLA-34.
    cfg.MODEL.DLA.NORM = "SyncBN"
