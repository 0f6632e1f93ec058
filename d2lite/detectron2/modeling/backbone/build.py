"""The registry of backbones."""

from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.backbone import Backbone
from detectron2.utils.registry import Registry

BACKBONE_REGISTRY = Registry("BACKBONE")
BACKBONE_REGISTRY.__doc__ = """
Backbones: each is called with ``(cfg, input_shape)``, a ``CfgNode`` and the ``ShapeSpec`` of the
images, and returns a ``Backbone``.
"""


def build_backbone(cfg, input_shape=None):
    """Builds the backbone ``cfg.MODEL.BACKBONE.NAME``.

    Args:
        cfg: the configuration.
        input_shape (ShapeSpec, optional): shape of the images; default as many channels as
            ``MODEL.PIXEL_MEAN`` has.
    """
    if input_shape is None:
        input_shape = ShapeSpec(channels=len(cfg.MODEL.PIXEL_MEAN))
    backbone = BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)(cfg, input_shape)
    assert isinstance(backbone, Backbone)
    return backbone
