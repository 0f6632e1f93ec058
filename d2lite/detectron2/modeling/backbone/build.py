"""The registry of backbones."""

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.utils.registry import Registry

from .backbone import Backbone

BACKBONE_REGISTRY = Registry("BACKBONE")
BACKBONE_REGISTRY.__doc__ = """
Backbones: each is called with ``(cfg, input_shape)``, a ``CfgNode`` and the ``ShapeSpec`` of the
images, and returns a ``Backbone``.
"""


def build_backbone(cfg: CfgNode, input_shape: ShapeSpec | None = None) -> Backbone:
    """Builds the backbone ``cfg.MODEL.BACKBONE.NAME``.

    Args:
        cfg: The configuration.
        input_shape: Shape of the images; None means as many channels as ``MODEL.PIXEL_MEAN``.
    """
    if input_shape is None:
        input_shape = ShapeSpec(channels=len(cfg.MODEL.PIXEL_MEAN))
    backbone = BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)(cfg, input_shape)
    assert isinstance(backbone, Backbone)
    return backbone
