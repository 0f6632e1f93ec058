"""SOLOv2 against the recorded public implementation, and on the inputs that break its peers."""

import json

import pytest
import torch
from torch import nn

from detectron2.structures import BitMasks, Boxes, Instances
from solo_d2.losses import GridLoss
from solo_d2.modeling.heads import MaskFeatureHead, SOLOv2Head
from solo_d2.modeling.meta_arch import SOLOv2
from solo_d2.postprocessing import GridInference
from solo_d2.structures import GridLayout

FEATURES = ["p2", "p3", "p4", "p5", "p6"]


class StoredFeatures(nn.Module):
    """Stands in for a backbone; the features are handed to the model directly."""

    size_divisibility = 32
    padding_constraints: dict = {}


def rename(key: str) -> str:
    """Maps a recorded parameter name to ours."""
    for old, new in (
        ("mask_feature_head.convs_all_levels.", "mask_head.branches."),
        ("mask_feature_head.conv_pred.", "mask_head.predictor."),
        ("cls_convs.", "head.category_tower."),
        ("kernel_convs.", "head.kernel_tower."),
        ("conv_cls.", "head.category_predictor."),
        ("conv_kernel.", "head.kernel_predictor."),
    ):
        key = key.replace(old, new)
    for i in range(3):
        key = key.replace(f".conv{i}.", f".convs.{i}.")
    return key.replace(".conv.", ".").replace(".gn.", ".norm.")


def group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(8, channels)


@pytest.fixture(params=["solov2", "solov2_light"])
def recording(request, golden):
    return golden(request.param)


def build(recording, **test_cfg) -> SOLOv2:
    head = json.loads((recording.folder / "config.json").read_text())["head"]
    mask_head = head["mask_feature_head"]
    names = {"filter_thr": "update_thr", "kernel": "nms_kernel", "sigma": "nms_sigma"}
    model = SOLOv2(
        backbone=StoredFeatures(),
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
        head=SOLOv2Head(
            in_channels=head["in_channels"],
            num_grids=head["num_grids"],
            num_classes=head["num_classes"],
            channels=head["feat_channels"],
            num_convs=head["stacked_convs"],
            kernel_channels=mask_head["out_channels"],
            norm=group_norm,
        ),
        mask_head=MaskFeatureHead(
            in_channels=head["in_channels"],
            channels=mask_head["feat_channels"],
            out_channels=mask_head["out_channels"],
            norm=group_norm,
        ),
        layout=GridLayout.from_lists(head["strides"], head["num_grids"], head["scale_ranges"]),
        in_features=FEATURES,
        mask_in_features=FEATURES[:4],
        num_classes=head["num_classes"],
        sigma=head["pos_scale"],
        loss=GridLoss(mask_divisor="cells"),
        grid_inference=GridInference(**{names.get(k, k): v for k, v in test_cfg.items()}),
    )
    weights = {rename(k): v for k, v in recording.load("state_dict").items()}
    expected = model.state_dict().keys()
    assert set(weights) == set(expected)
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


def test_golden_raw_outputs(recording):
    model = build(recording)
    expected = recording.load("raw_train")
    categories, kernels = model.head(list(read_features(recording).values()))
    mask_feature = model.mask_head(list(read_features(recording).values())[:4])
    for i, (category, kernel) in enumerate(zip(categories, kernels, strict=True)):
        torch.testing.assert_close(category, expected[f"cls{i}"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(kernel, expected[f"kernel{i}"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mask_feature, expected["mask_feats"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", ["base", "one_empty", "all_empty", "edge"])
def test_golden_targets(recording, case):
    model = build(recording)
    expected = recording.load(f"targets_{case}")
    instances = read_ground_truth(recording, case)
    targets = model.assign_targets(instances, (32, 48))
    num_cells = model.layout.num_cells
    for image in range(2):
        for level, offset in enumerate(model.layout.offsets):
            key = f"img{image}/lvl{level}"
            labels = expected[f"{key}/labels"]
            ours = targets.labels[image, offset : offset + labels.numel()]
            assert torch.equal(ours.view_as(labels), labels)
            cell = targets.positive_cell - image * num_cells - offset
            here = (cell >= 0) & (cell < labels.numel())
            assert torch.equal(cell[here], expected[f"{key}/pos_index"])
            masks = targets.masks[targets.positive_instance[here]]
            assert torch.equal(masks, expected[f"{key}/mask_targets"])


@pytest.mark.parametrize("case", ["base", "one_empty", "all_empty", "edge"])
def test_golden_losses_and_gradients(recording, case):
    model = build(recording)
    expected = recording.load(f"loss_{case}")
    features = read_features(recording, requires_grad=True)
    losses = model.losses(features, read_ground_truth(recording, case))
    torch.testing.assert_close(losses["loss_category"], expected["loss_cls"], rtol=1e-5, atol=0)
    torch.testing.assert_close(losses["loss_mask"], expected["loss_mask"], rtol=1e-5, atol=1e-7)
    sum(losses.values()).backward()
    for i, feature in enumerate(features.values()):
        reference = expected[f"grad{i}"]
        error = (feature.grad - reference).abs().max() / reference.abs().max()
        assert error < 1e-4
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(g is not None for g in gradients.values())
    for key, reference in expected.items():
        if key.startswith("pgrad/"):
            ours = gradients[rename(key.removeprefix("pgrad/"))]
            assert (ours - reference).abs().max() < 1e-4 * reference.abs().max()


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
