"""Inference against one candidate at a time, and what happens when little or nothing is left."""

from dataclasses import replace

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.methods.condinst.points import PointGenerator
from solo_d2.methods.condinst.postprocess import PointPostprocessor
from solo_d2.ops import box_nms, mask_nms, restore_masks
from solo_d2.structures import boxes_from_masks
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

GENERATOR = PointGenerator.from_lists([8, 16], [32])
POINTS = GENERATOR.generate([(6, 8), (3, 4)], torch.device("cpu"))
NUM_POINTS, NUM_CLASSES = 60, 3
IMAGE, OUTPUT = (44, 60), (88, 90)
BOXES = build(
    PointPostprocessor,
    get_cfg(),
    "MODEL.FCOS",
    "MODEL.CONDINST",
    inference_th_test=0.3,
    pre_nms_topk_test=25,
    post_nms_topk_test=12,
    with_masks=True,
)


def make_predictions(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(NUM_POINTS, NUM_CLASSES, generator=generator),
        torch.rand(NUM_POINTS, generator=generator),
        4 + 20 * torch.rand(NUM_POINTS, 4, generator=generator),
        torch.rand(NUM_POINTS, 12, 16, generator=generator),
    )


def infer(inference, predictions):
    scores, centerness, distances, masks = predictions
    return inference(scores, centerness, distances, POINTS, lambda i: masks[i], IMAGE, OUTPUT)


def naive_candidates(inference, scores, centerness) -> list[tuple[float, int, int]]:
    """(final score, location, class), best first."""
    found = []
    for level in range(2):
        own = []
        for k in (POINTS.levels == level).nonzero().squeeze(1).tolist():
            for c in range(NUM_CLASSES):
                product = float(scores[k, c] * centerness[k])
                ranked = product if inference.thresh_with_ctr else float(scores[k, c])
                if ranked > inference.inference_th_test:
                    own.append((ranked, product**0.5 if inference.sqrt_score else product, k, c))
        found += [item[1:] for item in sorted(own, reverse=True)[: inference.pre_nms_topk_test]]
    return sorted(found, reverse=True)


@pytest.mark.parametrize("with_centerness", [True, False])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("square_root", [True, False])
def test_box_nms_matches_one_candidate_at_a_time(with_centerness, clip, square_root):
    inference = replace(BOXES, thresh_with_ctr=with_centerness, clip_before_nms=clip, sqrt_score=square_root)
    scores, centerness, distances, masks = predictions = make_predictions()
    size = torch.tensor([IMAGE[1], IMAGE[0]] * 2).float()
    rows = []
    for score, k, c in naive_candidates(inference, scores, centerness):
        x, y = POINTS.locations[k].tolist()
        left, top, right, bottom = distances[k].tolist()
        box = torch.tensor([x - left, y - top, x + right, y + bottom])
        clipped = box.clamp(min=0).minimum(size)
        if (clipped[2:] > clipped[:2]).all():
            rows.append((score, k, c, clipped if clip else box))
    kept = box_nms(torch.stack([row[3] for row in rows]), torch.tensor([row[2] for row in rows]), 0.6)
    rows = [rows[i] for i in kept.tolist()][: inference.post_nms_topk_test]
    result = infer(inference, predictions)
    torch.testing.assert_close(result.scores, torch.tensor([row[0] for row in rows]))
    assert result.pred_classes.tolist() == [row[2] for row in rows]
    factor = torch.tensor([OUTPUT[1] / IMAGE[1], OUTPUT[0] / IMAGE[0]] * 2)
    boxes = torch.stack([row[3].clamp(min=0).minimum(size) for row in rows]) * factor
    torch.testing.assert_close(result.pred_boxes.tensor, boxes)
    expected = restore_masks(masks[[row[1] for row in rows]], 0.5, IMAGE, OUTPUT, 4, aligned=True).masks
    assert torch.equal(result.pred_masks, expected)


@pytest.mark.parametrize("nms_type", ["matrix", "fast", "hard", "soft"])
def test_mask_nms_needs_no_boxes(nms_type):
    inference = replace(BOXES, nms_type=nms_type, nms_pre=20, update_thr=0.2, nms_thr=0.35)
    scores, centerness, _, masks = make_predictions()
    rows = naive_candidates(inference, scores, centerness)[:20]
    decayed = mask_nms(
        masks[[row[1] for row in rows]] > 0.5,
        torch.tensor([row[2] for row in rows]),
        torch.tensor([row[0] for row in rows]),
        nms_type,
        iou_threshold=0.35,
    )
    assert (decayed < torch.tensor([row[0] for row in rows])).any()
    expected = decayed.sort(descending=True).values
    result = infer(inference, (scores, centerness, None, masks))
    torch.testing.assert_close(result.scores, expected[expected >= 0.2][:12])
    x0, y0, x1, y1 = result.pred_boxes.tensor.long()[0].tolist()
    assert result.pred_masks[0].any() and not result.pred_masks[0, :y0].any() and x1 <= OUTPUT[1]
    assert result.pred_masks[0, y0:y1, x0:x1].sum() == result.pred_masks[0].sum()


def test_boxes_only():
    scores, centerness, distances, _ = predictions = make_predictions()
    full = infer(BOXES, predictions)

    def no_masks(index):
        raise AssertionError("masks were computed")

    alone = replace(BOXES, with_masks=False)
    result = alone(scores, centerness, distances, POINTS, no_masks, IMAGE, OUTPUT)
    assert not result.has("pred_masks")
    assert torch.equal(result.pred_boxes.tensor, full.pred_boxes.tensor)
    by_masks = infer(replace(alone, nms_type="matrix"), predictions)
    assert len(by_masks) and not by_masks.has("pred_masks")


def test_boxes_of_masks_replace_the_detectors():
    own = infer(BOXES, make_predictions())
    inference = replace(BOXES, boxes_from_masks=True)
    result = infer(inference, make_predictions())
    assert torch.equal(result.scores, own.scores) and torch.equal(result.pred_masks, own.pred_masks)
    assert torch.equal(result.pred_boxes.tensor, boxes_from_masks(own.pred_masks).float())
    assert not torch.equal(result.pred_boxes.tensor, own.pred_boxes.tensor)


def test_boxes_of_masks_alone():
    """Without masks in the result they still come from the masks, and may be a fraction of a pixel larger."""
    inference = replace(BOXES, boxes_from_masks=True)
    full = infer(inference, make_predictions())
    alone = infer(replace(inference, with_masks=False), make_predictions())
    assert not alone.has("pred_masks") and torch.equal(alone.scores, full.scores)
    grown = (alone.pred_boxes.tensor - full.pred_boxes.tensor) * torch.tensor([-1, -1, 1, 1])
    assert ((grown >= 0) & (grown < 2 * inference.mask_out_stride)).all()


@pytest.mark.parametrize("nms_type", ["box", "matrix"])
def test_boxes_of_an_empty_mask_are_empty(nms_type):
    scores, centerness, distances, masks = make_predictions()
    scores = torch.zeros_like(scores)
    scores[13, 2] = centerness[13] = 1
    inference = replace(BOXES, nms_type=nms_type, boxes_from_masks=True)
    result = infer(inference, (scores, centerness, distances, torch.zeros_like(masks)))
    assert result.pred_boxes.tensor.tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("nms_type", ["box", "matrix"])
@pytest.mark.parametrize("from_masks", [False, True])
def test_nothing_above_the_threshold(nms_type, from_masks):
    inference = replace(BOXES, inference_th_test=1.0, nms_type=nms_type, boxes_from_masks=from_masks)
    result = infer(inference, make_predictions())
    assert result.pred_masks.shape == (0, *OUTPUT) and result.pred_masks.dtype == torch.bool
    assert result.pred_boxes.tensor.shape == (0, 4) and result.pred_classes.dtype == torch.int64


@pytest.mark.parametrize("nms_type", ["box", "matrix"])
def test_one_candidate(nms_type):
    scores, centerness, distances, masks = make_predictions()
    scores = torch.zeros_like(scores)
    scores[13, 2] = 1
    centerness[13] = 0.49
    result = infer(replace(BOXES, nms_type=nms_type), (scores, centerness, distances, masks))
    assert result.pred_classes.tolist() == [2]
    torch.testing.assert_close(result.scores, torch.tensor([0.7]))


def test_boxes_outside_the_image_are_dropped():
    scores, centerness, distances, masks = make_predictions()
    outside = (POINTS.locations[:, 0] - distances[:, 0]) >= IMAGE[1]
    distances[:, 2] = -100.0  # to the left of everything
    result = infer(BOXES, (scores, centerness, distances, masks))
    assert len(result) == 0 and not outside.all()


def test_unknown_kind_is_named():
    with pytest.raises(InputError, match="nms_type must be one of box, matrix"):
        replace(BOXES, nms_type="polygon")
