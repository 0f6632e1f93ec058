import pytest
import torch
import torch.nn.functional as F

from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from solo_d2.methods.densecl.head import ContrastiveEncoder, ContrastiveNeck
from solo_d2.utils.errors import InputError


class Stride8(Backbone):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 6, 8, stride=8)

    def output_shape(self):
        return {"res5": ShapeSpec(channels=6, stride=8)}

    def forward(self, x):
        return {"res5": self.conv(x)}


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ContrastiveEncoder(Stride8(), "res5", ContrastiveNeck(6, 5, 4))


def test_dense_head_is_two_1x1_convolutions(encoder):
    images = torch.randn(2, 3, 32, 24)
    feature = encoder.features(images)
    first, _, second = encoder.neck.dense
    hidden = F.conv2d(feature, first.weight[:, :, None, None], first.bias).relu()
    cells = F.conv2d(hidden, second.weight[:, :, None, None], second.bias)
    ours = encoder(images, with_mean=True)
    torch.testing.assert_close(ours.cells, F.normalize(cells, dim=1).flatten(2).transpose(1, 2))
    torch.testing.assert_close(ours.mean, F.normalize(cells.mean((2, 3)), dim=1))
    torch.testing.assert_close(ours.features, feature.flatten(2).transpose(1, 2))
    pooled = F.adaptive_avg_pool2d(feature, 1).flatten(1)
    torch.testing.assert_close(ours.whole, F.normalize(encoder.neck.whole(pooled), dim=1))
    assert encoder(images).mean is None


def test_grid_pools(encoder):
    images = torch.randn(2, 3, 48, 48)
    encoder.neck.grid_size = 3
    pooled = F.adaptive_avg_pool2d(encoder.features(images), 3)
    ours = encoder(images)
    torch.testing.assert_close(ours.features, pooled.flatten(2).transpose(1, 2))
    assert ours.cells.shape == (2, 9, 4)
    with pytest.raises(InputError, match="grid_size 3 asks for more cells"):
        encoder(images[..., :16, :16])


def test_without_a_dense_head():
    neck = ContrastiveNeck(6, 5, 4, dense=False)
    ours = neck(torch.randn(2, 6, 3, 3), with_mean=True)
    assert ours.cells is None and ours.features is None and ours.mean is None
    assert ours.map(torch.neg).whole.equal(-ours.whole) and ours.map(torch.neg).cells is None
    assert len(list(neck.parameters())) == 4


def test_lengths_are_1_in_half_precision(encoder):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = encoder(torch.randn(2, 3, 32, 32), with_mean=True)
    for x in (ours.whole, ours.cells, ours.mean):
        assert x.dtype == torch.float32
        torch.testing.assert_close(x.norm(dim=-1), torch.ones(x.shape[:-1]))
