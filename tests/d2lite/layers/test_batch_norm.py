"""Normalization layers: numbers against torch's, layouts of weights, conversion."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from detectron2.layers import FrozenBatchNorm2d, get_norm


def random_batch_norm(channels=4):
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(channels).eval()
    for tensor in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
        tensor.uniform_(0.5, 1.5)
    layer.num_batches_tracked += 3
    return layer


@pytest.mark.parametrize("requires_grad", [False, True])
def test_frozen_gives_what_batch_norm_gives(requires_grad):
    reference = random_batch_norm()
    frozen = FrozenBatchNorm2d.convert_frozen_batchnorm(reference)
    x = torch.randn(2, 4, 3, 5, requires_grad=requires_grad)
    torch.testing.assert_close(frozen.train()(x), reference(x))
    assert not list(frozen.parameters())
    assert frozen(x[:0]).shape == (0, 4, 3, 5)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_frozen_keeps_half_precision(requires_grad):
    x = torch.randn(1, 4, 2, 2, dtype=torch.bfloat16, requires_grad=requires_grad)
    assert FrozenBatchNorm2d(4)(x).dtype == torch.bfloat16


def test_frozen_fresh_is_identity_and_state_keys():
    layer = FrozenBatchNorm2d(3)
    x = torch.randn(1, 3, 2, 2)
    torch.testing.assert_close(layer(x), x)
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var"]
    assert repr(layer) == "FrozenBatchNorm2d(num_features=3, eps=1e-05)"


def test_convert_replaces_inside_and_leaves_the_rest():
    inner = nn.Sequential(nn.Conv2d(3, 4, 1), nn.SyncBatchNorm(4), nn.GroupNorm(2, 4))
    model = nn.Sequential(inner, nn.BatchNorm2d(4, affine=False))
    converted = FrozenBatchNorm2d.convert_frozen_batchnorm(model)
    assert converted is model
    kinds = [type(module) for module in (*model[0], model[1])]
    assert kinds == [nn.Conv2d, FrozenBatchNorm2d, nn.GroupNorm, FrozenBatchNorm2d]
    assert model[1].weight.tolist() == [1] * 4


def test_loads_batch_norm_weights_strictly():
    reference, frozen = random_batch_norm(), FrozenBatchNorm2d(4)
    state = {k: v for k, v in reference.state_dict().items() if "num_batches" not in k}
    frozen.load_state_dict(state)
    torch.testing.assert_close(frozen.running_var, reference.running_var)


@pytest.mark.parametrize("version", [None, 1])
def test_loads_old_layout_without_statistics(version):
    state = OrderedDict(weight=torch.full((4,), 2.0), bias=torch.ones(4))
    if version is not None:
        state._metadata = {"": {"version": version}}
    frozen = FrozenBatchNorm2d(4)
    frozen.running_mean += 5
    frozen.load_state_dict(state)
    assert frozen.running_mean.tolist() == [0] * 4
    torch.testing.assert_close(frozen.running_var, torch.ones(4))


def test_missing_statistics_of_the_present_layout_are_an_error():
    state = OrderedDict(weight=torch.ones(4), bias=torch.ones(4))
    state._metadata = {"": {"version": 3}}
    with pytest.raises(RuntimeError, match="running_mean"):
        FrozenBatchNorm2d(4).load_state_dict(state)


@pytest.mark.parametrize(
    "name, kind",
    [
        ("BN", nn.BatchNorm2d),
        ("SyncBN", nn.SyncBatchNorm),
        ("nnSyncBN", nn.SyncBatchNorm),
        ("FrozenBN", FrozenBatchNorm2d),
        ("GN", nn.GroupNorm),
        (nn.InstanceNorm2d, nn.InstanceNorm2d),
    ],
)
def test_get_norm(name, kind):
    layer = get_norm(name, 64)
    # On CPUs the real Detectron2 may build plain or naive batch normalization for SyncBN.
    assert isinstance(layer, kind) or (name == "SyncBN" and isinstance(layer, nn.BatchNorm2d))
    if name == "GN":
        assert (layer.num_groups, layer.num_channels) == (32, 64)


def test_get_norm_none_unknown_and_layer_norm():
    assert get_norm("", 3) is None and get_norm(None, 3) is None
    with pytest.raises(KeyError, match="XN"):
        get_norm("XN", 3)
    x = torch.randn(2, 6, 3, 4)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-6).sqrt()
    torch.testing.assert_close(get_norm("LN", 6)(x), expected)
