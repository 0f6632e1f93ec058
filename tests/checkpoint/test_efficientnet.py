"""EfficientNet-Lite's ImageNet weights: their names both ways, and the files where they are installed."""

import pytest
import torch

from solo_d2.checkpoint import detect, read_native
from solo_d2.checkpoint.efficientnet import EFFICIENTNET_LITE
from solo_d2.checkpoint.resnet import BOTTOM_UP
from solo_d2.modeling.backbones import EfficientNetLite
from solo_d2.utils.errors import InputError


def published_name(name: str) -> str:
    """Builds the published name of a weight the other way round."""
    first, *rest = name.split(".")
    if first == "stem":
        return ".".join(["_bn0", *rest[1:]] if rest[0] == "norm" else ["_conv_stem", *rest])
    block, layer, *rest = rest
    is_norm, rest = rest[0] == "norm", rest[rest[0] == "norm" :]
    norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    return ".".join(["_blocks", block, norms[layer] if is_norm else f"_{layer}_conv", *rest])


def published_weights(variant: int) -> dict[str, torch.Tensor]:
    own = EfficientNetLite(variant=variant, norm="BN", drop_path=0.0).state_dict()
    return {published_name(name): value for name, value in own.items()}


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_names_both_ways(variant):
    weights = published_weights(variant)
    assert detect([*weights, "_conv_head.weight", "_fc.bias"]) is EFFICIENTNET_LITE
    native = EFFICIENTNET_LITE.to_native(weights)
    own = EfficientNetLite(variant=variant, norm="BN", drop_path=0.0).state_dict()
    assert set(native) == {BOTTOM_UP + name for name in own}
    assert set(EFFICIENTNET_LITE.from_native(native)) == set(weights)


def test_the_classifier_is_expendable():
    for name in ("_conv_head.weight", "_bn1.running_mean", "_fc.bias"):
        assert EFFICIENTNET_LITE.why_expendable(name) == "the ImageNet classifier"
    assert EFFICIENTNET_LITE.why_expendable("_blocks.3._bn1.weight") is None


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_installed_files_fit(variant):
    try:
        native = read_native(f"pretrained://efficientnet_lite{variant}")
    except InputError as error:
        pytest.skip(str(error))
    own = EfficientNetLite(variant=variant, norm="BN", drop_path=0.0).state_dict()
    shapes = {BOTTOM_UP + name: value.shape for name, value in own.items()}
    assert {name: value.shape for name, value in native.weights.items()} == shapes
    assert native.preprocessing.mean == (127.0,) * 3 and native.preprocessing.channels == "RGB"
