"""Matrix NMS against a float64 loop over pairs and the recorded public behaviour."""

import math

import pytest
import torch

from solo_d2.ops import matrix_nms
from solo_d2.structures import InputError


def matrix_nms_by_loops(masks, labels, scores, kernel, sigma):
    n = len(masks)
    iou = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1, n):
            union = int((masks[i] | masks[j]).sum())
            if labels[i] == labels[j] and union:
                iou[i][j] = int((masks[i] & masks[j]).sum()) / union
    result = []
    for j in range(n):
        decay = 1.0
        for i in range(j):
            compensation = max((iou[k][i] for k in range(i)), default=0.0)
            if kernel == "gaussian":
                ratio = math.exp(-sigma * (iou[i][j] ** 2 - compensation**2))
            elif iou[i][j] == 1:
                ratio = 0.0
            else:
                ratio = (1 - iou[i][j]) / (1 - compensation) if compensation < 1 else math.inf
            decay = min(decay, ratio)
        result.append(float(scores[j]) * decay)
    return torch.tensor(result, dtype=torch.float64)


def random_case(n, size=(13, 17), num_labels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(n, *size, generator=generator) < torch.rand(n, 1, 1, generator=generator)
    if n > 4:
        masks[2] = masks[1]
        masks[3] = masks[1]
        masks[4] = False
    labels = torch.randint(num_labels, (n,), generator=generator)
    labels[1:4] = 0
    scores = torch.rand(n, generator=generator).sort(descending=True).values
    return masks, labels, scores


@pytest.mark.parametrize("kernel", ["gaussian", "linear"])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 40])
@pytest.mark.parametrize("num_labels", [1, 3])
def test_equals_loops(kernel, n, num_labels):
    for seed in range(5):
        masks, labels, scores = random_case(n, num_labels=num_labels, seed=seed)
        ours = matrix_nms(masks, labels, scores, kernel, 2.0)
        expected = matrix_nms_by_loops(masks, labels, scores, kernel, 2.0)
        assert ours.dtype == scores.dtype
        torch.testing.assert_close(ours.double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kernel", ["gaussian", "linear"])
def test_identical_masks_never_give_nan(kernel):
    masks = torch.ones(6, 4, 5, dtype=torch.bool)
    decayed = matrix_nms(masks, torch.zeros(6, dtype=torch.int64), torch.ones(6), kernel)
    assert not decayed.isnan().any()
    assert decayed[0] == 1 and (decayed[1:] < 1).all()


def test_non_contiguous_masks_and_many_pixels():
    masks, labels, scores = random_case(9, size=(200, 400))
    expected = matrix_nms(masks, labels, scores)
    transposed = masks.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(matrix_nms(transposed, labels, scores), expected)


def test_unknown_kernel_is_named():
    with pytest.raises(InputError, match="'gaussian' or 'linear', not 'cosine'"):
        matrix_nms(*random_case(3), kernel="cosine")


@pytest.mark.parametrize("kernel", ["gaussian", "linear"])
@pytest.mark.parametrize("case", ["distinct", "ties"])
def test_golden_scores(golden, case, kernel):
    data = golden("matrix_nms").load(f"{case}_{kernel}_plain")
    order = data["scores"].argsort(descending=True, stable=True)
    scores, labels = data["scores"][order], data["labels"][order]
    decayed = matrix_nms(data["masks"][order], labels, scores, kernel, float(data["sigma"]))
    prefix = "stable_" if case == "ties" else ""
    ranking = decayed.argsort(descending=True, stable=True)
    torch.testing.assert_close(decayed[ranking], data[f"{prefix}out_scores"], atol=1e-6, rtol=0)
    expected = torch.empty_like(decayed)
    expected[data[f"{prefix}keep_inds"]] = data[f"{prefix}out_scores"]
    torch.testing.assert_close(decayed, expected[order], atol=1e-6, rtol=0)


def test_golden_three_identical_masks_with_the_linear_kernel(golden):
    data = golden("matrix_nms").load("triple_identical_linear")
    order = data["scores"].argsort(descending=True, stable=True)
    scores, labels = data["scores"][order], data["labels"][order]
    decayed = matrix_nms(data["masks"][order], labels, scores, "linear")
    recorded = torch.empty_like(decayed)
    recorded[data["keep_inds"]] = data["out_scores"]
    # The public code computes 0 / 0 for the third of three identical masks; ours is the limit, 0.
    torch.testing.assert_close(decayed, recorded[order].nan_to_num(0), atol=1e-6, rtol=0)
