"""SOLO, Decoupled SOLO and SOLOv2 against the recorded public implementation."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from solo_d2.checkpoint.openmmlab import MMDET
from solo_d2.config import get_cfg
from solo_d2.layers import flatten_levels
from solo_d2.methods.grid.layout import GridLayout
from solo_d2.methods.grid.losses import GridLoss
from solo_d2.methods.grid.postprocess import GridPostprocessor
from solo_d2.methods.solo.head import DecoupledSOLOHead, SOLOHead
from solo_d2.methods.solo.model import SOLO, DecoupledSOLO
from solo_d2.methods.solov2.head import MaskFeatureHead, SOLOv2Head
from solo_d2.methods.solov2.model import SOLOv2
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build as build_part

QUICK = Path(__file__).resolve().parents[3] / "configs" / "quick"
FEATURES = ["p2", "p3", "p4", "p5", "p6"]
# Where two public code bases differ, the recording one divides SOLOv2's mask loss by unique positive cells.
METHODS = {
    "solo": SOLO,
    "decoupled_solo": DecoupledSOLO,
    "decoupled_solo_light": DecoupledSOLO,
    "solov2": SOLOv2,
    "solov2_light": SOLOv2,
}


class StoredFeatures(nn.Module):
    """Stands in for a backbone; the features are handed to the model directly."""

    size_divisibility = 32
    padding_constraints: dict = {}


def to_native(weights: dict) -> dict:
    """Recorded heads in our names, by the adapter that published files go through."""
    return MMDET.to_native({f"mask_head.{name}": value for name, value in weights.items()})


def group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(8, channels)


@pytest.fixture(params=METHODS)
def recording(request, golden):
    return golden(request.param)


def build_heads(name: str, head: dict) -> dict:
    """The heads of a recording's config."""
    common = {
        "in_channels": head["in_channels"],
        "num_grids": head["num_grids"],
        "num_classes": head["num_classes"],
        "instance_channels": head["feat_channels"],
        "num_instance_convs": head["stacked_convs"],
        "norm": group_norm,
    }
    if name == "solo":
        return {"head": build_part(SOLOHead, get_cfg(), "MODEL.SOLO", **common)}
    if name.startswith("decoupled"):
        light = name.endswith("light")
        return {"head": build_part(DecoupledSOLOHead, get_cfg(), "MODEL.SOLO", light=light, **common)}
    mask_head = head["mask_feature_head"]
    return {
        "head": build_part(
            SOLOv2Head, get_cfg(), "MODEL.SOLOV2", num_masks=mask_head["out_channels"], **common
        ),
        "mask_head": build_part(
            MaskFeatureHead,
            get_cfg(),
            "MODEL.SOLOV2",
            in_channels=head["in_channels"],
            num_levels=4,
            mask_channels=mask_head["feat_channels"],
            num_masks=mask_head["out_channels"],
            norm=group_norm,
        ),
        "mask_in_features": FEATURES[:4],
        "kernel_size": 1,
        "relative_coordinates": False,
    }


def build(recording, **test_cfg):
    head = json.loads((recording.folder / "config.json").read_text())["head"]
    names = {"filter_thr": "update_thr", "kernel": "nms_kernel", "sigma": "nms_sigma"}
    model = METHODS[recording.folder.name](
        backbone=StoredFeatures(),
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
        layout=GridLayout.from_lists(head["strides"], head["num_grids"], head["scale_ranges"]),
        instance_in_features=FEATURES,
        num_classes=head["num_classes"],
        sigma=head["pos_scale"],
        mask_target="mask",
        loss=build_part(GridLoss, get_cfg(), "MODEL.SOLOV2.LOSS", mask_divisor="cells"),
        postprocess=build_part(
            GridPostprocessor,
            get_cfg(),
            "MODEL.SOLOV2",
            mask_stride=4,
            with_masks=True,
            **{names.get(k, k): v for k, v in test_cfg.items()},
        ),
        **build_heads(recording.folder.name, head),
    )
    weights = to_native(recording.load("state_dict"))
    assert set(weights) == set(model.state_dict())
    model.load_state_dict(weights)
    return model


def read_features(recording, requires_grad: bool = False) -> dict:
    inputs = recording.load("inputs")
    return {f: inputs[f"feat{i}"].requires_grad_(requires_grad) for i, f in enumerate(FEATURES)}


def read_ground_truth(recording, case: str) -> list[Instances]:
    data = recording.load(f"gt_{case}")
    instances = []
    for i in range(2):
        x = Instances(tuple(data[f"img{i}/img_shape"].tolist()))
        x.gt_boxes = Boxes(data[f"img{i}/boxes"])
        x.gt_classes = data[f"img{i}/labels"]
        x.gt_masks = BitMasks(data[f"img{i}/masks"])
        instances.append(x)
    return instances


def raw_outputs(model, features: dict) -> dict:
    """The heads' outputs under the names of the recordings."""
    inputs = list(features.values())
    categories, masks = model.head(inputs)
    outputs = {f"cls{i}": x for i, x in enumerate(categories)}
    if isinstance(model, SOLOv2):
        outputs |= {f"kernel{i}": x for i, x in enumerate(masks)}
        return outputs | {"mask_feats": model.mask_head(inputs[:4])}
    if isinstance(model, DecoupledSOLO):
        return outputs | {f"mask_{axis}{i}": x[k] for i, x in enumerate(masks) for k, axis in enumerate("xy")}
    return outputs | {f"mask{i}": model.head.mask_logits(x, i) for i, x in enumerate(masks)}


def test_golden_raw_outputs(recording):
    outputs = raw_outputs(build(recording), read_features(recording))
    expected = recording.load("raw_train")
    assert set(outputs) == set(expected)
    for name, output in outputs.items():
        torch.testing.assert_close(output, expected[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["solo", "decoupled_solo", "decoupled_solo_light"])
def test_golden_masks_at_inference(golden, name):
    """Every cell's soft mask, asked for in reverse order; SOLO does not compute the maps of all cells."""
    recording = golden(name)
    model = build(recording).eval()
    expected = recording.load("raw_eval")
    categories, masks = model.predict(read_features(recording))
    cells = torch.arange(model.layout.num_cells).flip(0)
    for image in range(2):
        maps = []
        for level, grid in enumerate(model.layout.num_grids):
            if isinstance(model, DecoupledSOLO):
                x, y = expected[f"mask_x{level}"][image], expected[f"mask_y{level}"][image]
                maps.append((y[:, None] * x[None]).reshape(grid**2, *masks.size))
            else:
                maps.append(expected[f"mask{level}"][image])
        soft = masks.soft(image, cells)
        torch.testing.assert_close(soft, torch.cat(maps).flip(0), atol=1e-5, rtol=1e-5)
    assert flatten_levels(categories).shape[:2] == (2, len(cells))


@pytest.mark.parametrize("case", ["base", "one_empty", "all_empty", "edge"])
def test_golden_targets(recording, case):
    model = build(recording)
    expected = recording.load(f"targets_{case}")
    _, masks = model.predict(read_features(recording))
    targets = model.assign_targets(read_ground_truth(recording, case), masks.size, masks.strides)
    strides = masks.strides * len(FEATURES) if isinstance(model, SOLOv2) else masks.strides
    for image in range(2):
        for level, offset in enumerate(model.layout.offsets):
            key = f"img{image}/lvl{level}"
            labels = expected[f"{key}/labels"]
            ours = targets.labels[image, offset : offset + labels.numel()]
            assert torch.equal(ours.view_as(labels), labels)
            cell = targets.positive_cell - image * model.layout.num_cells - offset
            here = (cell >= 0) & (cell < labels.numel())
            if f"{key}/pos_index_yx" in expected:
                grid = model.layout.num_grids[level]
                yx = torch.stack([cell[here] // grid, cell[here] % grid], dim=1)
                assert torch.equal(yx, expected[f"{key}/pos_index_yx"])
            else:
                assert torch.equal(cell[here], expected[f"{key}/pos_index"])
            chosen = targets.masks[strides[level]][targets.positive_instance[here]]
            assert torch.equal(chosen, expected[f"{key}/mask_targets"])


@pytest.mark.parametrize("case", ["base", "one_empty", "all_empty", "edge"])
def test_golden_losses_and_gradients(recording, case):
    model = build(recording)
    expected = recording.load(f"loss_{case}")
    features = read_features(recording, requires_grad=True)
    losses = model.losses(features, [{"instances": x} for x in read_ground_truth(recording, case)])
    torch.testing.assert_close(losses["loss_category"], expected["loss_cls"], rtol=1e-5, atol=0)
    torch.testing.assert_close(losses["loss_mask"], expected["loss_mask"], rtol=1e-5, atol=1e-7)
    sum(losses.values()).backward()
    for i, feature in enumerate(features.values()):
        reference = expected[f"grad{i}"]
        error = (feature.grad - reference).abs().max() / reference.abs().max()
        assert error < 1e-4
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(g is not None for g in gradients.values())
    recorded = {k.removeprefix("pgrad/"): v for k, v in expected.items() if k.startswith("pgrad/")}
    for name, reference in to_native(recorded).items():
        assert (gradients[name] - reference).abs().max() <= 1e-4 * reference.abs().max()


CASES = [
    ("official", "same"),
    ("official", "rescaled"),
    ("tight", "rescaled"),
    ("linear", "rescaled"),
    ("nothing", "rescaled"),
    ("filtered", "rescaled"),
]


@pytest.mark.parametrize("test_name, geometry", CASES)
def test_golden_instances(recording, test_name, geometry):
    config = json.loads((recording.folder / "config.json").read_text())
    metas = config["metas"][geometry]
    model = build(recording, **config["tests"][test_name]).eval()
    with torch.no_grad():
        results = model.inference(
            read_features(recording),
            [tuple(meta["img_shape"]) for meta in metas],
            [tuple(meta["ori_shape"]) for meta in metas],
        )
    expected = recording.load(f"predict_{test_name}_{geometry}")
    for i, (result, meta) in enumerate(zip(results, metas, strict=True)):
        assert_same_instances(
            result,
            expected[f"img{i}/scores"],
            expected[f"img{i}/labels"],
            expected[f"img{i}/masks"],
            in_order=test_name == "tight",
        )
        assert result.pred_masks.shape[1:] == tuple(meta["ori_shape"])


def assert_same_instances(result, scores, labels, masks, in_order):
    """Every recorded instance has one of ours with its class, its score to 1e-5 and mask IoU >= 0.999."""
    assert len(result) == len(scores)
    free = torch.ones(len(result), dtype=torch.bool)
    for rank, (score, label, mask) in enumerate(zip(scores, labels, masks, strict=True)):
        same = free & (result.pred_classes == label) & ((result.scores - score).abs() < 1e-5)
        overlap = (result.pred_masks & mask).flatten(1).sum(1)
        union = (result.pred_masks | mask).flatten(1).sum(1)
        same &= (overlap >= 0.999 * union) | (union == 0)
        assert same.any(), f"instance {rank} is missing"
        index = int(same.nonzero()[0])
        assert not in_order or index == rank
        free[index] = False


@pytest.mark.parametrize("name", ["solo", "decoupled_solo", "solov2"])
def test_mask_target_is_checked_and_used(name):
    cfg = get_cfg()
    cfg.merge_from_file(str(QUICK / f"{name}_tiny.yaml"))
    node = cfg.MODEL.SOLOV2 if name == "solov2" else cfg.MODEL.SOLO
    node.MASK_TARGET = "contour"
    ground_truth = Instances((64, 64))
    ground_truth.gt_masks = BitMasks(torch.ones(1, 64, 64, dtype=torch.bool))
    ground_truth.gt_boxes = Boxes(torch.tensor([[0.0, 0.0, 64.0, 64.0]]))
    ground_truth.gt_classes = torch.tensor([0])
    targets = build_model(cfg).assign_targets([ground_truth], (16, 16), [4, 8])
    assert targets.masks[4].sum() == 4 * 15 and targets.masks[8].sum() == 4 * 7
    node.MASK_TARGET = "outline"
    with pytest.raises(InputError, match="'mask' or 'contour', not 'outline'"):
        build_model(cfg)
