"""Keys of SOLO and Decoupled SOLO (Wang et al., "SOLO: Segmenting Objects by Locations", ECCV 2020)."""

from detectron2.config import CfgNode
from solo_d2.methods.grid.config import add_inference_keys, add_level_keys, add_loss_keys, add_tower_keys
from solo_d2.modeling.meta_architecture import WeightKey

SOLO_WEIGHT_KEYS: tuple[WeightKey, ...] = (
    WeightKey(r"head\.(mask_)?predictors(_[xy])?\.", "{}.NUM_GRIDS", presence="{}.NUM_GRIDS"),
)


def add_solo_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.SOLO``, read by the meta-architectures SOLO and DecoupledSOLO."""
    cfg.MODEL.SOLO = CfgNode()
    node = cfg.MODEL.SOLO
    add_level_keys(node)
    add_tower_keys(node, channels=256, num_convs=7)
    # Number of a mask tower's first convolutions that see coordinates (section 3.3, CoordConv).
    node.NUM_COORD_CONVS = 1
    # Decoupled SOLO only: whether both axes share one mask tower, as in the light models.
    node.LIGHT = False
    add_loss_keys(node)
    add_inference_keys(node)
