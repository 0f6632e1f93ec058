"""Keys of SOLOv2 (Wang et al., "SOLOv2: Dynamic and Fast Instance Segmentation", NeurIPS 2020)."""

import math

from detectron2.config import CfgNode
from solo_d2.methods.grid.cell_masks import NUM_PLACE_TERMS
from solo_d2.methods.grid.config import add_inference_keys, add_level_keys, add_loss_keys, add_tower_keys
from solo_d2.modeling.meta_architecture import Shape, WeightKey


def _kernel_key(there: Shape, here: Shape) -> str:
    """Returns the config key behind the kernel predictor's rows, NUM_MASKS * KERNEL_SIZE^2, or columns."""
    if there[0] == here[0]:
        return "{}.INSTANCE_CHANNELS"
    if abs(there[0] - here[0]) == NUM_PLACE_TERMS:
        return "{}.RELATIVE_COORDINATES"
    more, less = max(there[0], here[0]), min(there[0], here[0])
    if more % less:
        return "{}.NUM_MASKS or {}.KERNEL_SIZE"
    side = math.isqrt(more // less)
    return "{}.KERNEL_SIZE" if side % 2 and side * side == more // less else "{}.NUM_MASKS"


SOLOV2_WEIGHT_KEYS: tuple[WeightKey, ...] = (
    WeightKey(r"head\.kernel_predictor\.", _kernel_key, presence="MODEL.META_ARCHITECTURE"),
    WeightKey(r"mask_head\..*offset\.", "{}.TYPE_DCN", presence="{}.USE_DCN_IN_MASK"),
    WeightKey(r"mask_head\.predictor", "{}.NUM_MASKS", presence="{}.USE_DCN_IN_MASK"),
    WeightKey(r"mask_head\.", "{}.MASK_CHANNELS", presence="{}.MASK_IN_FEATURES"),
)


def add_solov2_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.SOLOV2``; see :mod:`solo_d2.methods.grid.config` for the keys shared with SOLO."""
    cfg.MODEL.SOLOV2 = CfgNode()
    node = cfg.MODEL.SOLOV2
    add_level_keys(node)
    add_tower_keys(node, channels=512, num_convs=4)
    _add_mask_keys(node)
    add_loss_keys(node)
    add_inference_keys(node)


def _add_mask_keys(node: CfgNode) -> None:
    """Kernels and mask features (sections 2.1.1 to 2.1.3, ablations in section 3.1.2, appendix B)."""
    # Side of the dynamic kernels, 1 or 3.
    node.KERNEL_SIZE = 1
    # Whether the kernel branch and the mask feature branch see coordinates.
    node.KERNEL_COORDINATES = True
    node.MASK_COORDINATES = True
    # Whether a mask's logits also depend on the distance from its cell (not in the paper): for few pictures,
    # where one mask otherwise covers several look-alikes. Needs MASK_FEATURE "unified".
    node.RELATIVE_COORDINATES = False
    # "unified": one mask feature fused from MASK_IN_FEATURES. "separate": one per level of the head, from a
    # tower of NUM_MASK_CONVS convolutions like SOLO's.
    node.MASK_FEATURE = "unified"
    node.NUM_MASK_CONVS = 7
    # Backbone outputs fused into the unified mask feature, finest (stride 4) first.
    node.MASK_IN_FEATURES = ["p2", "p3", "p4", "p5"]
    # Width of the mask feature branch, and E, the channels of the mask feature and of the dynamic kernels.
    node.MASK_CHANNELS = 128
    node.NUM_MASKS = 256
    # Whether the convolutions of the unified mask feature are deformable, of type TYPE_DCN.
    node.USE_DCN_IN_MASK = False
