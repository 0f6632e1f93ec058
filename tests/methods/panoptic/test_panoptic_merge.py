"""The merge against a loop over instances, over recordings of Detectron2's, and at the edges."""

from functools import partial

import numpy as np
import pytest
import torch

from detectron2.structures import Instances
from solo_d2.config import get_cfg
from solo_d2.methods.panoptic.postprocess import PanopticMerge
from solo_d2.utils.settings import build as build_part

make_merge = partial(build_part, PanopticMerge, get_cfg(), "MODEL.PANOPTIC_FPN.COMBINE")


def make_instances(masks, scores, classes=None):
    result = Instances(tuple(masks.shape[-2:]))
    result.pred_masks = masks
    result.scores = torch.as_tensor(scores, dtype=torch.float32)
    result.pred_classes = torch.arange(len(masks)) % 5 if classes is None else torch.as_tensor(classes)
    return result


def merge_by_loops(merge, instances, semantic):
    """One instance and one label at a time, as the method's text says."""
    masks, semantic = instances.pred_masks.numpy().astype(bool), semantic.numpy()
    panoptic, segments = np.zeros(semantic.shape, np.int32), []
    scores = instances.scores.double().numpy()
    for index in np.argsort(-scores, kind="stable"):
        mask = masks[index]
        if scores[index] < merge.instances_confidence_thresh or not mask.any():
            continue
        if (mask & (panoptic > 0)).sum() / mask.sum() > merge.overlap_thresh:
            continue
        panoptic[mask & (panoptic == 0)] = len(segments) + 1
        segments.append(
            {
                "id": len(segments) + 1,
                "isthing": True,
                "score": scores[index],
                "category_id": int(instances.pred_classes[index]),
                "instance_id": int(index),
            }
        )
    for label in np.unique(semantic):
        free = (semantic == label) & (panoptic == 0)
        if label != 0 and free.sum() >= merge.stuff_area_limit:
            panoptic[free] = len(segments) + 1
            segments.append(
                {
                    "id": len(segments) + 1,
                    "isthing": False,
                    "category_id": int(label),
                    "area": int(free.sum()),
                }
            )
    return panoptic, segments


def assert_same(merge, instances, semantic):
    panoptic, segments = merge(instances, semantic)
    expected, expected_segments = merge_by_loops(merge, instances, semantic)
    assert panoptic.dtype == torch.int32
    assert np.array_equal(panoptic.numpy(), expected)
    assert segments == expected_segments
    return panoptic, segments


def random_case(rng):
    """Rectangles, some empty, some equal, some noise; scores with ties."""
    height, width, count = rng.integers(1, 24), rng.integers(1, 24), rng.integers(0, 20)
    masks = np.zeros((count, height, width), bool)
    for mask in masks:
        top, left = rng.integers(0, height), rng.integers(0, width)
        mask[top : rng.integers(top, height + 1), left : rng.integers(left, width + 1)] = True
    if count and rng.random() < 0.3:
        masks[rng.integers(count)] = rng.random((height, width)) < 0.5
        masks[rng.integers(count)] = masks[rng.integers(count)]
    scores = rng.integers(0, 11, count) / 10
    semantic = np.kron(rng.integers(0, 6, (height, width)), np.ones((2, 2), np.int64))[:height, :width]
    return make_instances(torch.from_numpy(masks), scores), torch.from_numpy(semantic)


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_loop_on_random_cases(seed):
    rng = np.random.default_rng(seed)
    for _ in range(200):
        merge = make_merge(
            overlap_thresh=float(rng.choice([0.0, 0.25, 0.4, 0.5, 1.0])),
            stuff_area_limit=int(rng.choice([0, 1, 4, 20])),
            instances_confidence_thresh=float(rng.choice([0.0, 0.3, 0.5])),
        )
        assert_same(merge, *random_case(rng))


@pytest.mark.parametrize("case", range(8))
def test_golden_detectron2_merge(golden, case):
    with np.load(golden("panoptic_merge").folder / f"case{case}.npz") as data:
        recorded = dict(data)
    count, height, width = recorded["shape"]
    masks = np.zeros((count, height, width), bool)
    if count:
        masks[:] = np.unpackbits(recorded["masks"], axis=1)[:, : height * width].reshape(masks.shape)
    merge = make_merge(
        overlap_thresh=float(recorded["overlap_threshold"]),
        stuff_area_limit=int(recorded["stuff_area_thresh"]),
        instances_confidence_thresh=float(recorded["instances_score_thresh"]),
    )
    instances = make_instances(torch.from_numpy(masks), recorded["scores"], recorded["classes"])
    panoptic, segments = merge(instances, torch.from_numpy(recorded["sem_seg"].astype(np.int64)))
    assert np.array_equal(panoptic.numpy(), recorded["panoptic"])
    keys = recorded["info_keys"].tolist()
    rows = [[segment.get(key, -1) for key in keys] for segment in segments]
    assert np.array_equal(np.array(rows, float).reshape(-1, len(keys)), recorded["info"])


def test_a_rejected_instance_frees_its_pixels():
    # 0 blocks 1, so that 1 no longer blocks 2, which then blocks 3: every decision turns on the one before.
    masks = torch.zeros(6, 1, 40, dtype=torch.bool)
    for index in range(6):
        masks[index, 0, 5 * index : 5 * index + 12] = True
    merge = make_merge(overlap_thresh=0.5, stuff_area_limit=1, instances_confidence_thresh=0.0)
    semantic = torch.ones(1, 40, dtype=torch.int64)
    _, segments = assert_same(merge, make_instances(masks, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), semantic)
    assert [s["instance_id"] for s in segments if s["isthing"]] == [0, 2, 4]


def test_exactly_half_taken_stays():
    masks = torch.zeros(2, 1, 8, dtype=torch.bool)
    masks[0, 0, :4], masks[1, 0, 2:6] = True, True
    semantic = torch.zeros(1, 8, dtype=torch.int64)
    assert len(make_merge()(make_instances(masks, [0.9, 0.8]), semantic)[1]) == 2
    masks[1, 0, 5] = False
    assert len(make_merge()(make_instances(masks, [0.9, 0.8]), semantic)[1]) == 1


def test_score_threshold_is_inclusive_and_compared_in_double():
    masks = torch.ones(1, 2, 2, dtype=torch.bool)
    semantic = torch.zeros(2, 2, dtype=torch.int64)
    assert make_merge(instances_confidence_thresh=0.5)(make_instances(masks, [0.5]), semantic)[1]
    # The float32 nearest to 0.45 lies below 0.45, as Detectron2 sees it too.
    assert not make_merge(instances_confidence_thresh=0.45)(make_instances(masks, [0.45]), semantic)[1]


@pytest.mark.parametrize("count", [0, 1, 8, 9, 64, 65, 130])
def test_numbers_of_instances_around_bytes_and_words(count):
    rng = np.random.default_rng(count)
    masks = torch.from_numpy(rng.random((count, 7, 13)) < 0.1)
    semantic = torch.from_numpy(rng.integers(0, 4, (7, 13)))
    merge = make_merge(stuff_area_limit=1, instances_confidence_thresh=0.1)
    assert_same(merge, make_instances(masks, rng.random(count)), semantic)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_and_masks_of_other_layouts(dtype):
    rng = np.random.default_rng(0)
    masks = torch.from_numpy(rng.random((10, 16, 6)) < 0.3).transpose(1, 2)
    instances = make_instances(masks, rng.random(10))
    instances.scores = instances.scores.to(dtype)
    assert not instances.pred_masks.is_contiguous()
    assert_same(make_merge(stuff_area_limit=3), instances, torch.from_numpy(rng.integers(0, 3, (6, 16))))
