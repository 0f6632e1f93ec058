"""Defaults of a Backbone."""

import pytest
import torch

from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone


class Stub(Backbone):
    def __init__(self):
        super().__init__()
        self._out_features = ["a"]
        self._out_feature_channels = {"a": 8, "unused": 1}
        self._out_feature_strides = {"a": 4, "unused": 1}

    def forward(self, x):
        return {"a": torch.zeros(len(x), 8, x.shape[2] // 4, x.shape[3] // 4)}


def test_defaults():
    backbone = Stub()
    assert backbone.output_shape() == {"a": ShapeSpec(channels=8, stride=4)}
    assert backbone.size_divisibility == 0 and backbone.padding_constraints == {}


def test_forward_is_required():
    class WithoutForward(Backbone):
        pass

    with pytest.raises(TypeError):
        WithoutForward()
