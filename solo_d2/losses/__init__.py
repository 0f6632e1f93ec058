"""Losses; the focal loss's formula is fvcore's."""

from .category import category_focal_loss
from .contrastive import info_nce, match_cells, mutual_matches, take_cells
from .dice import dice_loss
from .embedding import embedding_loss
from .giou import distance_giou_loss
from .grid_loss import GridLoss, MaskPrediction
from .pairwise import bounding_regions, pairwise_loss
from .pixelwise import bce_loss, focal_loss, product_logit
from .point_loss import PointLoss, true_centerness
from .projection import average_projection_loss, max_projection_loss
from .semantic import semantic_cross_entropy
from .weak_mask_loss import WeakMaskLoss

__all__ = [
    "GridLoss",
    "MaskPrediction",
    "PointLoss",
    "WeakMaskLoss",
    "average_projection_loss",
    "bce_loss",
    "bounding_regions",
    "category_focal_loss",
    "dice_loss",
    "distance_giou_loss",
    "embedding_loss",
    "focal_loss",
    "max_projection_loss",
    "pairwise_loss",
    "info_nce",
    "match_cells",
    "mutual_matches",
    "product_logit",
    "semantic_cross_entropy",
    "take_cells",
    "true_centerness",
]
