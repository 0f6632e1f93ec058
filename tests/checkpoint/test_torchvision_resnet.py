"""torchvision's names against the network they are for."""

import torch
from torch import nn

from detectron2.modeling import build_backbone
from solo_d2.checkpoint import SoloCheckpointer
from solo_d2.checkpoint.torchvision_resnet import is_torchvision_resnet, to_native
from solo_d2.config import get_cfg


def torchvision_name(name: str) -> str:
    """Builds torchvision's name for a parameter of Detectron2's ResNet the other way round."""
    parts = name.split(".")
    if parts[0] == "stem":
        return ".".join(["bn1", *parts[3:]] if parts[2] == "norm" else ["conv1", *parts[2:]])
    stage, block, layer, *rest = parts
    stage = f"layer{int(stage.removeprefix('res')) - 1}"
    is_norm, rest = rest[0] == "norm", rest[rest[0] == "norm" :]
    if layer == "shortcut":
        return ".".join([stage, block, "downsample", "1" if is_norm else "0", *rest])
    return ".".join([stage, block, layer.replace("conv", "bn") if is_norm else layer, *rest])


class Model(nn.Module):
    def __init__(self, depth: int):
        super().__init__()
        cfg = get_cfg()
        cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
        cfg.MODEL.RESNETS.DEPTH = depth
        cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64 if depth < 50 else 256
        cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
        cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
        self.backbone = build_backbone(cfg)


def make_file(depth: int) -> dict:
    bottom_up = Model(depth).backbone.bottom_up.state_dict()
    weights = {torchvision_name(name): torch.randn_like(value) for name, value in bottom_up.items()}
    extra = {"fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}
    return {**weights, **extra, "bn1.num_batches_tracked": torch.tensor(3)}


def test_every_weight_of_the_bottom_up_network_is_named():
    for depth in (18, 50):
        weights = make_file(depth)
        assert is_torchvision_resnet(weights)
        expected = {f"backbone.bottom_up.{name}" for name in Model(depth).backbone.bottom_up.state_dict()}
        assert set(to_native(weights)) == expected


def test_known_names():
    weights = {
        "layer2.0.downsample.1.running_mean": torch.tensor(1.0),
        "bn1.bias": torch.tensor(2.0),
    }
    assert set(to_native(weights)) == {
        "backbone.bottom_up.res3.0.shortcut.norm.running_mean",
        "backbone.bottom_up.stem.conv1.norm.bias",
    }


def test_model_weights_reads_such_a_file(tmp_path):
    weights = make_file(18)
    torch.save(weights, tmp_path / "resnet18.pth")
    model = Model(18)
    SoloCheckpointer(model).load(str(tmp_path / "resnet18.pth"))
    loaded = model.backbone.bottom_up.res5[1].conv2.weight
    assert torch.equal(loaded, weights["layer4.1.conv2.weight"])
