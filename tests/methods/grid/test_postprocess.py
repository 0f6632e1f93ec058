"""Inference of the SOLO family against a plain, keep-everything implementation."""

from functools import partial

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.methods.grid.postprocess import GridPostprocessor, points_nms
from solo_d2.modeling import postprocess as packing
from solo_d2.modeling.postprocess import build_instances
from solo_d2.ops import mask_nms
from solo_d2.utils.settings import build as build_part

make_postprocessor = partial(
    build_part, GridPostprocessor, get_cfg(), "MODEL.SOLOV2", mask_stride=4, with_masks=True
)


def points_nms_by_loops(scores):
    result = torch.zeros_like(scores)
    size = scores.shape[-1]
    for y in range(size):
        for x in range(size):
            window = scores[..., max(y - 1, 0) : y + 1, max(x - 1, 0) : x + 1]
            best = window.amax((-1, -2))
            result[..., y, x] = torch.where(scores[..., y, x] == best, scores[..., y, x], 0)
    return result


@pytest.mark.parametrize("size", [1, 2, 7])
def test_points_nms_equals_loops(size):
    scores = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    scores[0, 0] = 0.5  # ties survive
    assert torch.equal(points_nms(scores), points_nms_by_loops(scores))


def test_golden_points_nms(golden):
    data = golden("utils").load("utils")
    assert torch.equal(points_nms(data["peak_in"]), data["peak_out"])


def test_results_take_over_values_of_their_cells():
    case = Case(seed=3)
    values = {"pred_embeddings": torch.arange(60.0)[:, None].expand(-1, 3), "cell": torch.arange(60)}
    arguments = (case.masks.__getitem__, (10, 12), case.strides, (37, 45), (50, 70), values)
    results = make_postprocessor()(case.scores, *arguments)
    assert len(results) > 3 and results.pred_embeddings.shape == (len(results), 3)
    plain = make_postprocessor()(case.scores, *arguments[:-1])
    assert torch.equal(plain.scores, results.scores) and not plain.has("cell")
    # Every result's class is one that its cell has a score for, and its mask is the cell's.
    assert (case.scores[results.cell, results.pred_classes] > 0.1).all()
    for cell, mask in zip(results.cell, results.pred_masks, strict=True):
        (expected,) = build_instances(
            case.masks[cell : cell + 1],
            torch.ones(1),
            torch.zeros(1, dtype=torch.int64),
            image_size=(37, 45),
            output_size=(50, 70),
            mask_stride=4,
            threshold=0.5,
        ).pred_masks
        assert torch.equal(mask, expected)
    empty = make_postprocessor(score_thr=2.0)(case.scores, *arguments)
    assert len(empty) == 0 and empty.pred_embeddings.shape == (0, 3)


class Case:
    """Random predictions of 60 cells, 4 classes, masks of 10x12."""

    def __init__(self, seed=0, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        self.scores = torch.rand(60, 4, generator=generator) ** 3
        logits = torch.randn(60, 10, 12, generator=generator)
        self.masks = logits.mul(4).sigmoid().to(dtype)
        self.masks[7] = 0
        self.masks[8] = self.masks[9]
        self.strides = torch.tensor([8] * 30 + [32] * 30)

    def run(self, inference):
        return inference(self.scores, self.masks.__getitem__, (10, 12), self.strides, (37, 45), (50, 70))

    def expected(self, inference):
        cell, category = (self.scores > inference.score_thr).nonzero(as_tuple=True)
        masks = self.masks[cell]
        hard = masks > inference.mask_thr
        area = hard.flatten(1).sum(1)
        scores = self.scores[cell, category] * (masks * hard).flatten(1).sum(1) / area.clamp(min=1)
        kept = area > self.strides[cell]
        masks, hard, scores, category = masks[kept], hard[kept], scores[kept], category[kept]
        order = scores.argsort(descending=True, stable=True)[: inference.nms_pre]
        masks, hard, scores, category = masks[order], hard[order], scores[order], category[order]
        kind, kernel, sigma = inference.nms_type, inference.nms_kernel, inference.nms_sigma
        scores = mask_nms(hard, category, scores, kind, kernel, sigma, inference.nms_thr)
        order = scores.argsort(descending=True, stable=True)[: inference.max_per_img]
        order = order[scores[order] >= inference.update_thr]
        return build_instances(
            masks[order],
            scores[order],
            category[order],
            image_size=(37, 45),
            output_size=(50, 70),
            mask_stride=4,
            threshold=inference.mask_thr,
        )


def assert_equal(ours, expected):
    assert len(ours) == len(expected)
    torch.testing.assert_close(ours.scores, expected.scores)
    assert torch.equal(ours.pred_classes, expected.pred_classes)
    assert torch.equal(ours.pred_masks, expected.pred_masks)
    assert torch.equal(ours.pred_boxes.tensor, expected.pred_boxes.tensor)


SETTINGS = [
    make_postprocessor(),
    make_postprocessor(nms_pre=20),
    make_postprocessor(nms_pre=20, max_per_img=3, nms_kernel="linear"),
    make_postprocessor(score_thr=0.6, update_thr=0.3, mask_thr=0.7),
    make_postprocessor(nms_type="hard", nms_thr=0.3),
    make_postprocessor(nms_type="fast", nms_thr=0.3),
    make_postprocessor(nms_type="soft", nms_kernel="linear", nms_thr=0.3),
]


@pytest.mark.parametrize("inference", SETTINGS)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_plain_form(inference, seed):
    case = Case(seed)
    assert_equal(case.run(inference), case.expected(inference))


def test_chunks_change_nothing(monkeypatch):
    case, inference = Case(), make_postprocessor(nms_pre=20)
    expected = case.run(inference)
    monkeypatch.setattr(packing, "_CHUNK_BYTES", 1)
    assert_equal(case.run(inference), expected)


@pytest.mark.parametrize(
    "inference",
    [make_postprocessor(score_thr=1.0), make_postprocessor(update_thr=1.0), make_postprocessor(mask_thr=1.0)],
    ids=["no score", "all decayed", "no mask"],
)
def test_nothing_left_is_a_well_formed_result(inference):
    result = Case().run(inference)
    assert len(result) == 0
    assert result.pred_masks.shape == (0, 50, 70) and result.pred_masks.dtype == torch.bool
    assert result.pred_boxes.tensor.shape == (0, 4)


def test_bound_on_cells_keeps_the_best():
    case = Case()
    few = case.run(make_postprocessor(max_cells=5, update_thr=0.0))
    best = case.scores.amax(1).topk(5).indices
    case.scores[[i for i in range(60) if i not in best]] = 0
    assert_equal(few, case.run(make_postprocessor(update_thr=0.0)))


def test_half_precision_masks():
    result = Case(dtype=torch.bfloat16).run(make_postprocessor())
    assert len(result) > 0 and result.scores.isfinite().all()


def test_boxes_only_are_the_same_instances():
    case = Case()
    full = case.run(make_postprocessor(score_thr=0.3))
    boxes = case.run(make_postprocessor(score_thr=0.3, with_masks=False))
    assert len(full) and not boxes.has("pred_masks")
    assert torch.equal(boxes.scores, full.scores) and torch.equal(boxes.pred_classes, full.pred_classes)
    assert not case.run(make_postprocessor(score_thr=2.0, with_masks=False)).has("pred_masks")
