"""Keys of DenseCL (Wang et al., "Dense Contrastive Learning for Self-Supervised Visual Pre-Training").

Section numbers refer to chapter 5 of Wang's thesis, which contains the paper.
"""

from detectron2.config import CfgNode
from solo_d2.modeling.meta_architecture import WeightKey

_PROJECTIONS = "MODEL.DENSECL.HIDDEN_DIM or MODEL.DENSECL.FEAT_DIM"
_QUEUE = "MODEL.DENSECL.QUEUE_SIZE or MODEL.DENSECL.FEAT_DIM"
DENSECL_WEIGHT_KEYS: tuple[WeightKey, ...] = (
    WeightKey(r"backbone\.neck\.dense\.", _PROJECTIONS, presence="MODEL.DENSECL.LAMBDA"),
    WeightKey(r"backbone\.neck\.", _PROJECTIONS, presence="MODEL.META_ARCHITECTURE"),
    WeightKey(r"dense_queue\.", _QUEUE, presence="MODEL.DENSECL.LAMBDA"),
    WeightKey(r"queue\.", _QUEUE, presence="MODEL.META_ARCHITECTURE"),
)


def add_densecl_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.DENSECL``, and ``INPUT.VIEWS`` for the two views of an image."""
    cfg.MODEL.DENSECL = CfgNode()
    _add_model_keys(cfg.MODEL.DENSECL)
    cfg.INPUT.VIEWS = CfgNode()
    _add_view_keys(cfg.INPUT.VIEWS)


def _add_model_keys(node: CfgNode) -> None:
    """Encoder and losses (sections 5.2.2, 5.2.3 and "Technical details" of 5.3)."""
    # The backbone output that is read.
    node.IN_FEATURE = "res5"
    # Width of the heads' hidden layer, and numbers of a projected vector.
    node.HIDDEN_DIM = 2048
    node.FEAT_DIM = 128
    # S: cells along a side of a view, to which the feature is pooled (table 5.8); 0 keeps its own size.
    node.GRID_SIZE = 7
    # Temperature of both losses.
    node.TEMPERATURE = 0.2
    # Keys in each of the two queues of negatives.
    node.QUEUE_SIZE = 65536
    # Fraction of the key encoder's weights that a step keeps.
    node.MOMENTUM = 0.999
    # Weight of the dense loss; the global loss has 1 minus it (equation 5.3, table 5.6). 0 is MoCo-v2,
    # without a dense head.
    node.LAMBDA = 0.5
    # Iterations during which that weight is 0 (section 5.3.4; the paper's run with lambda 1 has 10,000).
    node.LAMBDA_WARMUP_ITERS = 0
    # Whether processes exchange samples before keys are encoded (shuffling BN); not needed with SyncBN.
    node.SHUFFLE_BN = True


def _add_view_keys(node: CfgNode) -> None:
    """Augmentation of each view ("Technical details" of section 5.3; the numbers are MoCo-v2's)."""
    # Side of a view in pixels.
    node.SIZE = 224
    # A crop's area as a fraction of the image's, and its width divided by its height.
    node.SCALE = (0.2, 1.0)
    node.ASPECT_RATIO = (3 / 4, 4 / 3)
    # Strengths of brightness, contrast, saturation (factor 1 +- strength) and hue (turns of the color
    # circle), and the probability that the four, in random order, are applied.
    node.JITTER = (0.4, 0.4, 0.4, 0.1)
    node.JITTER_PROB = 0.8
    node.GRAY_PROB = 0.2
    # Minimum and maximum standard deviation of the blur, in pixels.
    node.BLUR_SIGMA = (0.1, 2.0)
    node.BLUR_PROB = 0.5
    node.FLIP_PROB = 0.5
