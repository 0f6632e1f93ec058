"""CondInst against the recorded public implementation, and on the inputs that break its peers."""

import json

import pytest
import torch
from torch import nn

from solo_d2.checkpoint.condinst import MMDET_CONDINST
from solo_d2.config import get_cfg
from solo_d2.layers import flatten_levels
from solo_d2.methods.condinst.head import FCOSHead
from solo_d2.methods.condinst.losses import PointLoss
from solo_d2.methods.condinst.mask_head import DynamicMaskHead, MaskBranch
from solo_d2.methods.condinst.model import CondInst
from solo_d2.methods.condinst.points import PointGenerator
from solo_d2.methods.condinst.postprocess import PointPostprocessor
from solo_d2.methods.condinst.targets import PositiveSampler
from solo_d2.utils.settings import build as build_part

FEATURES = ["p3", "p4", "p5", "p6", "p7"]
CASES = ["base", "one_empty", "all_empty", "edge"]
LOSSES = {
    "loss_category": "loss_cls",
    "loss_box": "loss_bbox",
    "loss_centerness": "loss_centerness",
    "loss_mask": "loss_mask",
}


class StoredFeatures(nn.Module):
    """Stands in for a backbone; the features are handed to the model directly."""

    size_divisibility = 32
    padding_constraints: dict = {}


def group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(8, channels)


@pytest.fixture
def recording(golden):
    return golden("condinst")


def build(recording) -> CondInst:
    config = json.loads((recording.folder / "config.json").read_text())
    head, mask, test = config["bbox_head"], config["mask_head"], config["test"]
    branch = mask["mask_feature_head"]
    cfg = get_cfg()
    sizes = [high for _, high in head["regress_ranges"][:-1]]
    model = CondInst(
        backbone=StoredFeatures(),
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
        head=build_part(
            FCOSHead,
            cfg,
            "MODEL.FCOS",
            in_channels=head["in_channels"],
            num_levels=len(FEATURES),
            num_classes=head["num_classes"],
            num_params=head["num_params"],
            num_cls_convs=head["stacked_convs"],
            num_box_convs=head["stacked_convs"],
            norm=group_norm,
        ),
        mask_branch=build_part(
            MaskBranch,
            cfg,
            "MODEL.CONDINST.MASK_BRANCH",
            in_channels=branch["in_channels"],
            num_levels=3,
            channels=branch["feat_channels"],
            num_convs=branch["num_stacked_convs"],
            out_channels=branch["out_channels"],
        ),
        mask_head=build_part(
            DynamicMaskHead,
            cfg,
            "MODEL.CONDINST.MASK_HEAD",
            in_channels=branch["out_channels"],
            stride=branch["mask_stride"],
            upsampling=2,
        ),
        semantic_branch=None,
        point_generator=PointGenerator.from_lists(head["strides"], sizes),
        in_features=FEATURES,
        mask_in_features=FEATURES[:3],
        num_classes=head["num_classes"],
        pos_radius=1.5,
        sizes_of_interest=[mask["size_of_interest"] * stride for stride in head["strides"]],
        loss=PointLoss(loss_alpha=0.25, loss_gamma=2.0),
        sampler=PositiveSampler(max_proposals=mask["max_masks_to_train"], topk_proposals_per_im=-1),
        postprocess=build_part(
            PointPostprocessor,
            cfg,
            "MODEL.FCOS",
            "MODEL.CONDINST",
            inference_th_test=test["score_thr"],
            thresh_with_ctr=False,
            sqrt_score=False,
            pre_nms_topk_test=test["nms_pre"],
            clip_before_nms=True,
            nms_th=test["nms"]["iou_threshold"],
            post_nms_topk_test=test["max_per_img"],
            mask_thr=test["mask_thr"],
            mask_out_stride=mask["mask_out_stride"],
            with_masks=True,
        ),
    )
    weights = MMDET_CONDINST.to_native(recording.load("state_dict"))
    assert set(weights) == set(model.state_dict())
    model.load_state_dict(weights)
    return model


def read_features(recording, requires_grad: bool = False) -> dict:
    inputs = recording.load("inputs")
    return {f: inputs[f"feat{i}"].requires_grad_(requires_grad) for i, f in enumerate(FEATURES)}


def predict(model, features):
    predictions = model.head(list(features.values()))
    return predictions, model.point_generator.generate(predictions.sizes, features["p3"].device)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_golden_raw_outputs(recording, mode):
    model = build(recording).train(mode == "train")
    expected = recording.load("raw")
    features = read_features(recording)
    predictions, points = predict(model, features)
    unit = 1 if mode == "train" else points.strides[:, None]
    everywhere = torch.arange(len(points.levels)).expand(len(predictions.centerness), -1)
    params = model.head.control(predictions.box_features, everywhere)
    for name, ours in (
        ("cls", predictions.class_logits),
        (f"bbox_{mode}", predictions.distances),
        ("ctr", predictions.centerness[..., None]),
        ("param", params),
    ):
        reference = flatten_levels([expected[f"{name}{i}"] for i in range(len(FEATURES))])
        reference = reference / unit if name == "bbox_eval" else reference
        torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)
    mask_features = model.mask_branch([features[f] for f in FEATURES[:3]])
    torch.testing.assert_close(mask_features, expected[f"mask_feats_{mode}"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_golden_targets_and_mask_logits(recording, case):
    model = build(recording)
    expected = recording.load(f"loss_{case}_bn_train")
    features = read_features(recording)
    predictions, points = predict(model, features)
    instances = recording.ground_truth(case)
    targets = model.assign_targets(points, instances, [x.gt_masks.tensor for x in instances])
    mask_features = model.mask_branch([features[f] for f in FEATURES[:3]])
    first = 0
    for image, count in enumerate(map(len, instances)):
        positive = (targets.owner[image] >= 0).nonzero().squeeze(1)
        assert torch.equal(positive, expected[f"img{image}/pos_inds"])
        assert len(positive) <= targets.max_positives
        owner = targets.owner[image, positive] - first
        assert torch.equal(owner, expected[f"img{image}/pos_assigned_gt_inds"])
        assert torch.equal(points.locations[positive], expected[f"img{image}/points"])
        assert torch.equal(points.strides[positive], expected[f"img{image}/strides"])
        assert torch.equal(targets.labels[image, positive], instances[image].gt_classes[owner])
        if len(positive):
            logits = model.predict_masks(
                predictions.image(image), mask_features[image : image + 1], points, positive[None]
            )
            torch.testing.assert_close(logits[0], expected[f"img{image}/mask_logits"], atol=2e-5, rtol=1e-5)
        first += count


@pytest.mark.parametrize("case", [*(f"{case}_bn_train" for case in CASES), "base_bn_frozen"])
def test_golden_losses_and_gradients(recording, case):
    model = build(recording)
    if case.endswith("frozen"):
        model.mask_branch.eval()
    expected = recording.load(f"loss_{case}")
    features = read_features(recording, requires_grad=True)
    instances = recording.ground_truth(case.partition("_bn")[0])
    losses = model.losses(features, [{"instances": x} for x in instances])
    for ours, recorded in LOSSES.items():
        torch.testing.assert_close(losses[ours], expected[recorded], rtol=1e-5, atol=1e-7)
    sum(losses.values()).backward()
    for i, feature in enumerate(features.values()):
        reference = expected[f"grad{i}"]
        assert (feature.grad - reference).abs().max() < 1e-4 * reference.abs().max()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(g is not None for g in gradients.values())
    recorded = {key.removeprefix("pgrad/"): g for key, g in expected.items() if key.startswith("pgrad/")}
    for name, reference in MMDET_CONDINST.to_native(recorded).items():
        assert (gradients[name] - reference).abs().max() < 1e-4 * reference.abs().max() + 1e-8, name


@pytest.mark.parametrize("geometry", ["same", "rescaled"])
def test_golden_instances(recording, geometry):
    metas = json.loads((recording.folder / "config.json").read_text())["metas"][geometry]
    model = build(recording).eval()
    with torch.no_grad():
        results = model.inference(
            read_features(recording),
            [tuple(meta["img_shape"]) for meta in metas],
            [tuple(meta["ori_shape"]) for meta in metas],
        )
    expected = recording.load(f"predict_{geometry}")
    for i, (result, meta) in enumerate(zip(results, metas, strict=True)):
        assert result.pred_masks.shape[1:] == tuple(meta["ori_shape"])
        assert len(result) == len(expected[f"img{i}/scores"])
        torch.testing.assert_close(result.scores, expected[f"img{i}/scores"], atol=1e-5, rtol=0)
        assert torch.equal(result.pred_classes, expected[f"img{i}/labels"])
        torch.testing.assert_close(result.pred_boxes.tensor, expected[f"img{i}/boxes"], atol=2e-3, rtol=0)
        overlap = (result.pred_masks & expected[f"img{i}/masks"]).flatten(1).sum(1)
        union = (result.pred_masks | expected[f"img{i}/masks"]).flatten(1).sum(1)
        assert ((overlap >= 0.999 * union) | (union == 0)).all()
