"""Keys of FreeSOLO (Wang et al., "FreeSOLO: Learning to Segment Objects without Annotations", CVPR 2022).

Levels, heads, category loss and inference are set by ``MODEL.SOLOV2``. Section numbers refer to the paper's
chapter in the thesis, 6.x.
"""

from detectron2.config import CfgNode
from solo_d2.modeling.meta_architecture import WeightKey

FREESOLO_WEIGHT_KEYS: tuple[WeightKey, ...] = (
    WeightKey(
        r"head\.embedding_predictor\.", "MODEL.FREESOLO.NUM_EMBEDDINGS", presence="MODEL.META_ARCHITECTURE"
    ),
)


def add_freesolo_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.FREESOLO``; every loss with weight 0 is off (table 6.7d and f)."""
    cfg.MODEL.FREESOLO = CfgNode()
    node = cfg.MODEL.FREESOLO
    # Length of the semantic embedding that Free Mask gives every mask, and weight beta of its loss (section
    # 6.2.3, equation 6.8). The public code multiplies this loss by 0; the paper does not.
    node.NUM_EMBEDDINGS = 128
    node.EMBEDDING_WEIGHT = 4.0
    # Weights of the mask losses (equation 6.6): projections by maximum and by average (alpha), pairwise.
    node.MAX_PROJECTION_WEIGHT = 1.0
    node.AVERAGE_PROJECTION_WEIGHT = 0.1
    node.PAIRWISE_WEIGHT = 1.0
    # Whether to add SOLOV2.LOSS's mask loss, which treats every pixel of the coarse masks as true. "Full"
    # supervision (table 6.7e) is this loss with the three weights above at 0.
    node.FULL_MASK_LOSS = False
    # Pairwise affinity as in BoxInst: distance to the eight neighbors in mask pixels; minimum color
    # similarity, exp(-|difference in Lab| / 2), of pixels that should share a label; iterations in which the
    # loss's weight grows from 0.
    node.PAIRWISE_DILATION = 2
    node.PAIRWISE_COLOR_THR = 0.3
    node.PAIRWISE_WARMUP_ITERS = 1000
    # Bottom rows of the original image whose colors are ignored: many photographs have a dark line there.
    node.BOTTOM_PIXELS_REMOVED = 10
