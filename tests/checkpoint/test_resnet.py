"""Backbone formats against the networks they are for."""

import pytest
import torch
from torch import nn

from detectron2.modeling import build_backbone
from solo_d2.checkpoint import Checkpointer, detect, to_native, write_weight_file
from solo_d2.checkpoint.resnet import (
    CAFFE2_RESNET,
    DENSECL,
    OPENMMLAB_RESNET_D,
    PADDLE_RESNET_VD,
    TIMM_RESNET_D,
    TORCHVISION_RESNET,
)
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


def caffe2_name(name: str) -> str:
    """The same for Caffe2's names."""
    letters = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "shortcut": "branch1"}
    leaf = {
        "norm.weight": "bn_s",
        "norm.bias": "bn_b",
        "norm.running_mean": "bn_rm",
        "norm.running_var": "bn_riv",
    }
    head, tail = name.split(".conv1.", 1) if name.startswith("stem") else (name, "")
    if name.startswith("stem"):
        return "conv1_w" if tail == "weight" else f"res_conv1_{leaf[tail]}"
    stage, block, layer, tail = head.split(".", 3)
    return f"{stage}_{block}_{letters[layer]}_{'w' if tail == 'weight' else leaf[tail]}"


class Model(nn.Module):
    def __init__(self, depth: int, stages: tuple[bool, ...] = (False,) * 4, stride_in_1x1: bool = True):
        super().__init__()
        cfg = get_cfg()
        cfg.MODEL.RESNETS.STRIDE_IN_1X1 = stride_in_1x1
        cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
        cfg.MODEL.RESNETS.DEPTH = depth
        cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64 if depth < 50 else 256
        cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
        cfg.MODEL.RESNETS.DEFORM_ON_PER_STAGE = list(stages)
        cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
        self.backbone = build_backbone(cfg)


def make_file(depth: int, rename=torchvision_name) -> dict:
    bottom_up = Model(depth).backbone.bottom_up.state_dict()
    return {rename(name): torch.randn_like(value) for name, value in bottom_up.items()}


def expected_names(depth: int) -> set[str]:
    return {f"backbone.bottom_up.{name}" for name in Model(depth).backbone.bottom_up.state_dict()}


@pytest.mark.parametrize("depth", [18, 50])
def test_every_weight_of_torchvision_is_named(depth):
    classifier = {"fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}
    weights = {**make_file(depth), **classifier, "bn1.num_batches_tracked": torch.tensor(3)}
    assert detect(weights) is TORCHVISION_RESNET
    native = to_native(weights)
    assert set(native.weights) == expected_names(depth) and not native.whole_model
    assert len(native.notes) == 2 and "2 not used: the ImageNet classifier" in native.notes
    assert TORCHVISION_RESNET.from_native(TORCHVISION_RESNET.to_native(weights)) == weights


@pytest.mark.parametrize("depth", [18, 50])
def test_same_features_as_torchvision(depth):
    """The computation, not only the names; where torchvision is at hand, as next to the real Detectron2."""
    models = pytest.importorskip("torchvision.models")
    generator = torch.Generator().manual_seed(0)
    theirs = getattr(models, f"resnet{depth}")().eval()
    for name, value in theirs.state_dict().items():
        if name.endswith(("running_mean", "running_var", "bn1.bias", "bn2.weight")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    ours = Model(depth, stride_in_1x1=False).backbone.bottom_up.eval()
    native = to_native(theirs.state_dict()).weights
    ours.load_state_dict({name.removeprefix("backbone.bottom_up."): value for name, value in native.items()})
    image = torch.randn(1, 3, 64, 96, generator=generator)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        features = ours(image)
        for stage in range(1, 5):
            x = getattr(theirs, f"layer{stage}")(x)
            torch.testing.assert_close(features[f"res{stage + 1}"], x, rtol=1e-4, atol=1e-5)


def test_known_names():
    names = {"layer2.0.downsample.1.running_mean": 0, "bn1.bias": 1, "layer4.2.conv2.conv_offset.bias": 2}
    assert TORCHVISION_RESNET.to_native(names) == {
        "backbone.bottom_up.res3.0.shortcut.norm.running_mean": 0,
        "backbone.bottom_up.stem.conv1.norm.bias": 1,
        "backbone.bottom_up.res5.2.conv2_offset.bias": 2,
    }


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_model_weights_reads_such_a_file(tmp_path, ending, caplog):
    weights = make_file(18)
    path = str(tmp_path / f"resnet18{ending}")
    if ending == ".pth":
        torch.save(weights, path)
    else:
        write_weight_file(path, weights)
    model = Model(18)
    Checkpointer(model).load(path)
    assert torch.equal(model.backbone.bottom_up.res5[1].conv2.weight, weights["layer4.1.conv2.weight"])
    assert "it has no backbone.fpn: the model keeps its initial values there" in caplog.text


def test_offsets_may_start_from_zero(tmp_path, caplog):
    torch.save(make_file(50), tmp_path / "resnet50.pth")
    Checkpointer(Model(50, (False, False, False, True))).load(str(tmp_path / "resnet50.pth"))
    assert "it has no offsets of deformable convolutions: 6 start from zero" in caplog.text


def test_densecl_keeps_the_query_encoder():
    query = {f"encoder_q.0.{name}": value for name, value in make_file(18).items()}
    other = {"encoder_q.1.mlp.weight": 0, "encoder_k.0.conv1.weight": 0, "queue": 0, "queue2_ptr": 0}
    content = {"state_dict": query | {name: torch.zeros(1) for name in other}, "optimizer": {}}
    native = to_native(content)
    assert native.format is DENSECL
    assert set(native.weights) == expected_names(18)
    assert "1 not used: DenseCL's momentum encoder" in native.notes


def test_caffe2_without_statistics(tmp_path, caplog):
    names = make_file(50, caffe2_name)
    weights = {n: v for n, v in names.items() if not n.endswith(("_rm", "_riv"))}
    content = {"blobs": {**weights, "fc1000_w": torch.zeros(1), "conv1_w_momentum": torch.zeros(1)}}
    native = to_native(content)
    assert native.format is CAFFE2_RESNET and native.preprocessing.channels == "BGR"
    assert set(native.weights) == {n for n in expected_names(50) if "running" not in n}
    torch.save(content, tmp_path / "R-50.pth")
    model = Model(50)
    Checkpointer(model).load(str(tmp_path / "R-50.pth"))
    assert torch.equal(model.backbone.bottom_up.stem.conv1.weight, weights["conv1_w"])
    assert "no running statistics: the norms of this format contain them already" in caplog.text
    assert CAFFE2_RESNET.from_native(CAFFE2_RESNET.to_native(weights)) == weights


def test_detectron2s_own_backbones():
    bottom_up = Model(18).backbone.bottom_up.state_dict()
    content = {"model": {**bottom_up, "fc.bias": torch.zeros(1)}, "matching_heuristics": True}
    native = to_native(content)
    assert native.format.name == "detectron2-resnet" and not native.heuristics
    assert set(native.weights) == expected_names(18)


def d_names(names: set[str], style: str) -> dict[str, str]:
    """Native names of a ResNet-D, and those of another library."""
    renamed = {}
    for name in names:
        parts = name.removeprefix("backbone.bottom_up.").split(".")
        if parts[0] == "stem":
            number, is_norm = int(parts[1].removeprefix("conv")), parts[2] == "norm"
            rest = parts[2 + is_norm :]
            if style == "paddle":
                first = ["conv1", f"conv1_{number}", "norm" if is_norm else "conv"]
            elif style == "timm" and number == 3 and is_norm:
                first = ["bn1"]
            else:
                first = ["conv1" if style == "timm" else "stem", str(3 * (number - 1) + is_norm)]
        elif style == "paddle":
            is_norm, rest = parts[3] == "norm", parts[3 + (parts[3] == "norm") :]
            layer = "branch2" + "abc"[int(parts[2][-1]) - 1] if parts[2] != "shortcut" else "short"
            pooled = ["conv"] if layer == "short" and parts[0] != "res2" else []
            stage = ["res_layers", str(int(parts[0][-1]) - 2), "blocks", parts[1], layer, *pooled]
            first = [*stage, "norm" if is_norm else "conv"]
        else:
            plain = torchvision_name(".".join(parts)).split(".")
            if plain[2] == "downsample":
                plain[3] = str(int(plain[3]) + 1)
            first, rest = plain, []
        renamed[name] = ("backbone." if style == "openmmlab" else "") + ".".join([*first, *rest])
    return renamed


@pytest.mark.parametrize("style, form", [("timm", 0), ("openmmlab", 1), ("paddle", 2)])
def test_resnet_d_of_other_libraries(style, form):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_resnet_d_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    bottom_up = build_backbone(cfg).bottom_up.state_dict()
    names = d_names({f"backbone.bottom_up.{name}" for name in bottom_up}, style)
    found = {other: torch.zeros(1) for other in names.values()}
    assert detect(found) is (TIMM_RESNET_D, OPENMMLAB_RESNET_D, PADDLE_RESNET_VD)[form]
    native = to_native(found)
    assert set(native.weights) == set(names) and not native.whole_model
    assert set(detect(found).from_native(native.weights)) == set(found)
