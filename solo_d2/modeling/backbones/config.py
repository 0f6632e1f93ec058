"""Keys of backbones that Detectron2 does not have. Section numbers are the CondInst paper's."""

from detectron2.config import CfgNode


def add_backbone_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.BiFPN``, ``DLA``, ``EFFICIENTNET_LITE``, ``TIMM`` and ``HUGGING_FACE``."""
    _add_condinst_backbones(cfg)
    cfg.MODEL.EFFICIENTNET_LITE = CfgNode()
    # 0 to 4: Lite0 to Lite4. ImageNet weights of the first three: MODEL.WEIGHTS pretrained://efficientnet_lite0.
    cfg.MODEL.EFFICIENTNET_LITE.VARIANT = 0
    cfg.MODEL.EFFICIENTNET_LITE.NORM = "BN"
    # Probability of skipping the last block in training; it grows linearly from 0 at the first block.
    cfg.MODEL.EFFICIENTNET_LITE.DROP_PATH = 0.0
    _add_library_backbones(cfg)


def _add_library_backbones(cfg: CfgNode) -> None:
    """Adds backbones of timm and of Hugging Face's transformers, which are optional packages."""
    cfg.MODEL.TIMM = CfgNode()
    # A model of timm, such as "convnext_tiny.fb_in22k_ft_in1k".
    cfg.MODEL.TIMM.NAME = ""
    # Whether to download its published weights; MODEL.WEIGHTS overrides them.
    cfg.MODEL.TIMM.PRETRAINED = False
    cfg.MODEL.TIMM.DROP_PATH = 0.0
    # Name prefixes of frozen weights, such as ["stem", "stages.0"].
    cfg.MODEL.TIMM.FROZEN = []
    cfg.MODEL.HUGGING_FACE = CfgNode()
    # A model on the hub, such as "facebook/dinov2-small", or a folder with its config.json.
    cfg.MODEL.HUGGING_FACE.NAME = ""
    cfg.MODEL.HUGGING_FACE.PRETRAINED = False
    cfg.MODEL.HUGGING_FACE.FROZEN = []


def _add_condinst_backbones(cfg: CfgNode) -> None:
    """Adds the backbones of CondInst's larger and real-time models (sections 3.6 and 3.7)."""
    cfg.MODEL.BiFPN = CfgNode()
    # Backbone outputs to fuse, finest first; channels, number and normalization of the fusion layers.
    cfg.MODEL.BiFPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.BiFPN.OUT_CHANNELS = 160
    cfg.MODEL.BiFPN.NUM_REPEATS = 6
    cfg.MODEL.BiFPN.NORM = "SyncBN"
    cfg.MODEL.DLA = CfgNode()
    # Normalization of DLA-34.
    cfg.MODEL.DLA.NORM = "SyncBN"
