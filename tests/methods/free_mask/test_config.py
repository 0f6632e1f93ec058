"""The published constants of Free Mask and self-training."""

from detectron2.config import CfgNode
from solo_d2.methods.free_mask.config import add_free_mask_config


def test_published_values():
    cfg = CfgNode({"MODEL": CfgNode()})
    add_free_mask_config(cfg)
    node = cfg.MODEL.FREE_MASK
    assert (node.IN_FEATURE, node.QUERY_SCALES, node.MASK_THR) == ("res5", [1.0, 0.5, 0.25], 0.5)
    assert (node.MIN_AREA, node.MAX_PER_IMG, node.MASKNESS_THR) == (1, 20, 0.7)
    assert (node.NMS_KERNEL, node.NMS_SIGMA) == ("gaussian", 2.0)
    assert (node.MAX_BOX_WIDTH, node.MIN_CENTER_Y, node.NUM_EMBEDDINGS) == (0.95, 0.2, 128)
    labels = cfg.PSEUDO_LABELS
    assert (labels.UPDATE_THR, labels.MAX_PER_IMG, labels.MAX_BOX_WIDTH) == (0.3, 20, 0.95)
