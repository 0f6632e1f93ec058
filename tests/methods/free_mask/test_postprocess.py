"""Free Mask against loops over queries in float64."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from solo_d2.config import get_cfg
from solo_d2.methods.free_mask.postprocess import (
    FreeMaskPostprocessor,
    just_below,
    normalize_scores,
    pyramid_queries,
)
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build as build_part

make_postprocessor = partial(build_part, FreeMaskPostprocessor, get_cfg(), "MODEL.FREE_MASK")

LOOSE = make_postprocessor(maskness_thr=0.0, min_center_y=-1.0, max_box_width=2.0)


def make_feature(size=(9, 12), channels=24, seed=0):
    """Three blobs of one feature each on a background of a fourth, with noise."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randn(4, channels, generator=generator, dtype=torch.float64)
    which = torch.zeros(size, dtype=torch.int64)
    which[1:4, 1:5], which[5:8, 2:4], which[3:8, 7:11] = 1, 2, 3
    noise = 0.3 * torch.randn(*size, channels, generator=generator, dtype=torch.float64)
    return (kinds[which] + noise).permute(2, 0, 1).contiguous()


def bilinear(level, scale):
    """Resizes (E, h, w) with half-pixel centers, number by number."""
    channels, h, w = level.shape
    out = torch.zeros(channels, int(h * scale), int(w * scale), dtype=level.dtype)
    for y in range(out.shape[1]):
        for x in range(out.shape[2]):
            cy, cx = max((y + 0.5) / scale - 0.5, 0), max((x + 0.5) / scale - 0.5, 0)
            y0, x0 = int(cy), int(cx)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            fy, fx = cy - y0, cx - x0
            above = level[:, y0, x0] * (1 - fx) + level[:, y0, x1] * fx
            below = level[:, y1, x0] * (1 - fx) + level[:, y1, x1] * fx
            out[:, y, x] = above * (1 - fy) + below * fy
    return out


def reference_candidates(feature, options):
    """Queries with their soft masks and maskness, those of one cell or less left out, best first."""
    channels, h, w = feature.shape
    found = []
    for scale in options.query_scales:
        for query in bilinear(feature, scale).reshape(channels, -1).T:
            soft = torch.zeros(h, w, dtype=torch.float64)
            for y in range(h):
                for x in range(w):
                    key = feature[:, y, x]
                    soft[y, x] = query @ key / (query.norm() * key.norm())
            soft = (soft - soft.min()) / (soft.max() - soft.min())
            mask = soft >= options.mask_thr
            if mask.sum() > options.min_area:
                found.append((soft[mask].mean().item(), mask, soft, query / query.norm()))
    return sorted(found, key=lambda one: -one[0])


def reference(feature, options, size):
    """(score, mask at ``size``, embedding) of each result, best first; the cells cover ``size`` exactly."""
    found = reference_candidates(feature, options)

    def iou(i, j):
        one, other = found[i][1], found[j][1]
        return ((one & other).sum() / (one | other).sum()).item()

    worst = [max((iou(i, j) for i in range(j)), default=0.0) for j in range(len(found))]
    scored = []
    for j, (maskness, _, soft, query) in enumerate(found):
        decay = [math.exp(-options.nms_sigma * (iou(i, j) ** 2 - worst[i] ** 2)) for i in range(j)]
        scored.append((maskness * min([1.0, *decay]), soft, query))
    scored.sort(key=lambda one: -one[0])
    results = []
    for score, soft, query in scored[: options.max_per_img]:
        mask = F.interpolate(soft[None, None], size, mode="bilinear")[0, 0] >= options.mask_thr
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        wide = columns.max() - columns.min() + 1 >= options.max_box_width * size[1]
        high = rows.double().mean() <= options.min_center_y * size[0]
        if score >= options.maskness_thr and not wide and not high:
            embedding = F.interpolate(query[None, None], size=options.num_embeddings, mode="linear")[0, 0]
            results.append((score, mask, embedding))
    return results


@pytest.mark.parametrize(
    "options",
    [
        LOOSE,
        make_postprocessor(),
        make_postprocessor(query_scales=(0.5,), nms_sigma=1.0, num_embeddings=16),
        replace(LOOSE, max_per_img=3, min_area=12, mask_thr=0.6),
        replace(LOOSE, max_box_width=0.5),
        replace(LOOSE, min_center_y=0.5, maskness_thr=0.5),
    ],
    ids=["all", "published", "one scale", "few", "narrow", "low"],
)
def test_equals_loops(options):
    feature, stride = make_feature(), 8
    size = (9 * stride, 12 * stride)
    result = options(feature.float(), stride, size, size)
    expected = reference(feature, options, size)
    assert len(result) == len(expected) > 0
    for (score, mask, embedding), ours in zip(expected, range(len(result)), strict=True):
        assert result.scores[ours].item() == pytest.approx(score, abs=1e-4)
        assert (result.pred_masks[ours] != mask).float().mean() < 2e-3  # pixels at the threshold
        torch.testing.assert_close(result.pred_embeddings[ours].double(), embedding, atol=1e-5, rtol=0)
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        box = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (result.pred_boxes.tensor[ours] - box).abs().max() <= 1
    assert result.pred_classes.tolist() == [0] * len(result)
    assert result.pred_embeddings.shape[1] == options.num_embeddings


def test_finds_the_blobs():
    result = make_postprocessor(min_center_y=-1.0)(make_feature(), 8, (72, 96), (72, 96))
    truth = torch.zeros(3, 72, 96, dtype=torch.bool)
    truth[0, 8:32, 8:40], truth[1, 40:64, 16:32], truth[2, 24:64, 56:88] = True, True, True
    common = (truth[:, None] & result.pred_masks).flatten(2).sum(2)
    union = (truth[:, None] | result.pred_masks).flatten(2).sum(2)
    assert (common / union).amax(1).min() > 0.7


def test_identical_masks_leave_one():
    """Without noise all queries of a blob give the same mask: after NMS only one of them stays above 0.7."""
    feature = torch.zeros(4, 9, 12)
    feature[0], feature[0, 2:6, 3:8] = 1, 0
    feature[1, 2:6, 3:8] = 1
    options = make_postprocessor(query_scales=(1.0,), min_center_y=-1.0, maskness_thr=0.0, max_per_img=200)
    everything = options(feature, 8, (72, 96), (72, 96))
    assert len(everything) > 10 and (everything.pred_masks == everything.pred_masks[-1]).all((1, 2)).any()
    result = replace(options, maskness_thr=0.7)(feature, 8, (72, 96), (72, 96))
    assert len(result) == 1 and result.pred_boxes.tensor.tolist() == [[24, 16, 64, 48]]


def test_other_output_size_and_padding_within_the_last_cells():
    """An image that ends within the last cells: the rest of those cells is cut off before resizing."""
    result = LOOSE(make_feature().float(), 8, (70, 91), (35, 45))
    assert result.image_size == (35, 45) and result.pred_masks.shape[1:] == (35, 45)
    assert len(result) == len(result.pred_boxes) == len(result.pred_embeddings) > 0


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3)])
def test_few_cells(size):
    """Scales without a cell give no query; a single cell has no contrast and so no mask."""
    result = LOOSE(torch.rand(6, *size), 8, (8 * size[0], 8 * size[1]), (16, 16))
    assert result.has("pred_embeddings") and len(result) == (0 if size == (1, 1) else len(result))


def test_equal_features_have_no_objects():
    result = LOOSE(torch.ones(6, 8, 8), 8, (64, 64), (64, 64))
    assert len(result) == 0 and result.pred_masks.shape == (0, 64, 64)
    assert result.pred_embeddings.shape == (0, 128)


@pytest.mark.parametrize(
    "key, value",
    [("query_scales", ()), ("query_scales", (1.0, 0.0)), ("num_embeddings", 0), ("max_per_img", 0)],
)
def test_settings_that_find_nothing_are_refused(key, value):
    with pytest.raises(InputError, match=f"^{key} must be"):
        make_postprocessor(**{key: value})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_strides(dtype):
    feature = make_feature().to(dtype)
    flipped = feature.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    one, other = (LOOSE(x, 8, (72, 96), (72, 96)) for x in (feature, flipped))
    assert not flipped.is_contiguous() and torch.equal(one.pred_masks, other.pred_masks)
    assert one.scores.dtype == one.pred_embeddings.dtype == torch.float32


def test_number_of_queries_and_their_length():
    queries = pyramid_queries(torch.randn(4, 9, 12), (1.0, 0.5, 0.25, 0.05))
    assert len(queries) == 9 * 12 + 4 * 6 + 2 * 3
    torch.testing.assert_close(queries.norm(dim=1), torch.ones(len(queries)))


def test_scores_span_zero_to_one():
    scores = normalize_scores(torch.tensor([[-1.0, 0.0, 1.0], [2.0, 2.0, 2.0]]))
    assert scores.tolist() == [[0, 0.5, 1], [0, 0, 0]]


def test_the_threshold_itself_is_inside():
    values = torch.tensor([0.5, just_below(0.5)])
    assert (values > just_below(0.5)).tolist() == [True, False]
    assert just_below(0.5) < 0.5 and just_below(0.0) < 0
