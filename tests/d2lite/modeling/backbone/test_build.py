"""The registry of backbones."""

import pytest

from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, build_backbone


class Stub(Backbone):
    def __init__(self, input_shape):
        super().__init__()
        self.input_shape = input_shape

    def forward(self, x):
        return {"x": x}


@BACKBONE_REGISTRY.register()
def build_stub_for_test_build(cfg, input_shape):
    return Stub(input_shape)


def test_builds_by_name_with_the_channels_of_the_pixel_mean():
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_stub_for_test_build"
    cfg.MODEL.PIXEL_MEAN = [0.0, 0.0]
    assert build_backbone(cfg).input_shape == ShapeSpec(channels=2)
    assert build_backbone(cfg, ShapeSpec(channels=5)).input_shape.channels == 5


def test_unknown_name_is_told():
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_nothing"
    with pytest.raises(KeyError, match="build_nothing"):
        build_backbone(cfg)
