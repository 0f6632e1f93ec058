"""Keys of the backbones that Detectron2 lacks (CondInst paper, sections 3.6 and 3.7)."""

from detectron2.config import CfgNode


def add_backbone_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.BiFPN`` and ``MODEL.DLA``."""
    cfg.MODEL.BiFPN = CfgNode()
    # Backbone outputs fused, finest first; channels, number and normalisation of the fusion's repetitions.
    cfg.MODEL.BiFPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.BiFPN.OUT_CHANNELS = 160
    cfg.MODEL.BiFPN.NUM_REPEATS = 6
    cfg.MODEL.BiFPN.NORM = "SyncBN"
    cfg.MODEL.DLA = CfgNode()
    # Normalisation of DLA-34.
    cfg.MODEL.DLA.NORM = "SyncBN"
