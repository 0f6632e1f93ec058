"""Exported backbones in this project's and in Detectron2's own checkpointer."""

from pathlib import Path

import pytest
import torch

import solo_d2  # noqa: F401  (registers the models)
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model, build_resnet_backbone
from solo_d2.checkpoint import Checkpointer, to_native
from solo_d2.checkpoint.weight_file import save_atomically
from solo_d2.config import get_cfg
from solo_d2.engine.weights import build_checkpointer, preprocessing_of
from solo_d2.export.backbone import STEM, as_checkpoint, backbone_weights, fit_to_config
from solo_d2.utils.errors import InputError

QUICK = Path(__file__).resolve().parents[2] / "configs" / "quick"


def load(name):
    cfg = get_cfg()
    cfg.merge_from_file(str(QUICK / f"{name}.yaml"))
    return cfg


@pytest.fixture(scope="module")
def densecl():
    cfg = load("densecl_tiny")
    cfg.MODEL.DENSECL.HIDDEN_DIM, cfg.MODEL.DENSECL.QUEUE_SIZE = 16, 8
    torch.manual_seed(0)
    return cfg, build_model(cfg)


@pytest.fixture(scope="module")
def exported(densecl, tmp_path_factory):
    weights = backbone_weights(densecl[1].state_dict())
    path = tmp_path_factory.mktemp("export") / "backbone.pth"
    save_atomically(as_checkpoint(weights), str(path))
    return weights, str(path)


def test_plain_names_and_the_query_encoders_values(densecl, exported):
    weights, _ = exported
    own = densecl[1].backbone.bottom_up.state_dict()
    assert set(weights) == {name for name in own if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(value, own[name]) for name, value in weights.items())
    assert STEM in weights


@pytest.mark.parametrize("checkpointer", [Checkpointer, DetectionCheckpointer])
def test_segmenters_start_from_it(exported, checkpointer):
    weights, path = exported
    torch.manual_seed(1)
    model = build_model(load("solov2_tiny"))
    checkpointer(model).load(path)
    own = model.backbone.bottom_up.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in weights.items())


@pytest.mark.parametrize("checkpointer", [Checkpointer, DetectionCheckpointer])
def test_a_plain_resnet_starts_from_it(exported, checkpointer):
    weights, path = exported
    model = torch.nn.Module()
    model.backbone = build_resnet_backbone(load("densecl_tiny"), ShapeSpec(channels=3))
    checkpointer(model).load(path)
    own = model.backbone.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in weights.items())


@pytest.mark.parametrize("checkpointer", [Checkpointer, DetectionCheckpointer])
def test_pre_training_starts_from_it_with_both_encoders(densecl, exported, checkpointer):
    weights, path = exported
    torch.manual_seed(1)
    model = build_model(densecl[0])
    checkpointer(model).load(path)
    query, key = model.backbone.state_dict(), model.key_encoder.state_dict()
    for name, value in weights.items():
        assert torch.equal(query[f"bottom_up.{name}"], value)
    assert all(torch.equal(key[name.replace(".", "/")], value) for name, value in query.items())


def test_segmenters_start_from_the_pre_trainings_own_checkpoint(densecl, exported, tmp_path):
    path = tmp_path / "model_final.pth"
    torch.save({"model": densecl[1].state_dict(), "iteration": 3}, path)
    torch.manual_seed(1)
    model = build_model(load("solov2_tiny"))
    Checkpointer(model).load(str(path))
    own = model.backbone.bottom_up.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in exported[0].items())


def test_segmenters_backbone_can_be_exported_too(exported):
    torch.manual_seed(1)
    model = build_model(load("solov2_tiny"))
    assert set(backbone_weights(model.state_dict())) == set(exported[0])
    with pytest.raises(InputError, match="no ResNet"):
        backbone_weights({"conv.weight": torch.zeros(1)})


def features(cfg, weights, rgb):
    """res5 of RGB pixels, prepared as the config says."""
    net = build_resnet_backbone(cfg, ShapeSpec(channels=3)).eval()
    net.load_state_dict(weights, strict=False)
    images = rgb if cfg.INPUT.FORMAT == "RGB" else rgb.flip(1)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD))
    with torch.no_grad():
        return net((images - mean) / std)["res5"]


def test_another_configs_pixels_give_the_same_features(densecl, exported):
    trained, target = densecl[0], densecl[0].clone()
    target.INPUT.FORMAT = "BGR"
    target.MODEL.PIXEL_MEAN = trained.MODEL.PIXEL_MEAN[::-1]
    target.MODEL.PIXEL_STD = [1.0, 1.0, 2.0]
    rgb = torch.randint(0, 256, (2, 3, 65, 70), generator=torch.Generator().manual_seed(0)).float()
    fitted = fit_to_config(exported[0], trained, target)
    expected = features(trained, exported[0], rgb)
    torch.testing.assert_close(features(target, fitted, rgb), expected, rtol=1e-4, atol=1e-4)
    assert (features(target, exported[0], rgb) - expected).abs().max() > 0.1
    same = fit_to_config(exported[0], trained, trained)
    assert all(torch.equal(same[name], value) for name, value in exported[0].items())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL.RESNETS.DEPTH", 34, "DEPTH is 18 in the pre-training and 34"),
        ("MODEL.PIXEL_MEAN", [1.0, 2.0, 3.0], "PIXEL_MEAN"),
    ],
)
def test_configs_that_cannot_share_weights(densecl, exported, key, value, message):
    target = densecl[0].clone()
    target.merge_from_list([key, value])
    with pytest.raises(InputError, match=message):
        fit_to_config(exported[0], densecl[0], target)


def test_where_a_bottleneck_has_its_stride_cannot_be_converted():
    """The published DenseCL's and Detectron2's ResNets; basic blocks have but one place for the stride."""
    trained = get_cfg()
    trained.merge_from_file(str(QUICK.parent / "DenseCL" / "densecl_R50_coco.yaml"))
    target = get_cfg()
    target.merge_from_file(str(QUICK.parent / "SOLOv2" / "solov2_R50_1x.yaml"))
    weights = {STEM: torch.randn(4, 3, 7, 7)}
    with pytest.raises(InputError, match="STRIDE_IN_1X1 is False in the pre-training and True"):
        fit_to_config(weights, trained, target)
    target.MODEL.RESNETS.STRIDE_IN_1X1 = False
    std = torch.tensor(trained.MODEL.PIXEL_STD).view(3, 1, 1)
    torch.testing.assert_close(fit_to_config(weights, trained, target)[STEM], (weights[STEM] / std).flip(1))
    target.MODEL.RESNETS.STRIDE_IN_1X1 = True
    trained.MODEL.RESNETS.DEPTH = target.MODEL.RESNETS.DEPTH = 18
    fit_to_config(weights, trained, target)


def test_what_images_it_expects_is_compared_with_the_config(densecl, exported, tmp_path, caplog):
    path = tmp_path / "backbone.pth"
    torch.save(as_checkpoint(exported[0], preprocessing_of(densecl[0])), path)
    assert to_native(torch.load(path)).preprocessing.short_side is None, "no size was published of a backbone"
    cfg = load("free_mask_tiny")
    with caplog.at_level("INFO"):
        build_checkpointer(cfg, build_model(cfg)).load(str(path))
    assert "these weights want" not in caplog.text and "weights match" in caplog.text
    cfg.INPUT.FORMAT = "BGR"
    cfg.MODEL.PIXEL_STD = [1.0, 1.0, 1.0]
    with caplog.at_level("INFO"):
        build_checkpointer(cfg, build_model(cfg)).load(str(path))
    assert "INPUT.FORMAT is BGR, these weights want RGB" in caplog.text
    assert "MODEL.PIXEL_STD is [1.0, 1.0, 1.0], these weights want [58.395" in caplog.text
    DetectionCheckpointer(build_model(cfg)).load(str(path))
