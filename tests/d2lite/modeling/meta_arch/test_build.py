"""The registry of whole models."""

import pytest
import torch
from torch import nn

from detectron2.config import get_cfg
from detectron2.modeling import META_ARCH_REGISTRY, build_model


@META_ARCH_REGISTRY.register()
class StubForTestBuild(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.layer = nn.Linear(2, cfg.TEST.DETECTIONS_PER_IMAGE)


def test_builds_by_name_on_the_device():
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "StubForTestBuild"
    model = build_model(cfg)
    assert model.layer.weight.shape == (100, 2)
    assert model.layer.weight.device == torch.device("cpu")


def test_unknown_name_is_told():
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "Nothing"
    with pytest.raises(KeyError, match="Nothing"):
        build_model(cfg)
