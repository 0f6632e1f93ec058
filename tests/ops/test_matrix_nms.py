"""Matrix NMS against a float64 loop over pairs and the recorded public behavior."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solo_d2.ops import matrix_nms, pack_masks
from solo_d2.ops.matrix_nms import reference
from solo_d2.utils.errors import InputError


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


FUNCTIONS = (matrix_nms, reference)
SHAPES = (
    (1, 1), (1, 63), (1, 64), (1, 65), (7, 9), (8, 8), (13, 17), (16, 32), (31, 33), (25, 41),
)  # fmt: skip


def blobs(n, size, generator):
    """Overlapping rectangles: many partial and some total overlaps."""
    masks = torch.zeros(n, *size, dtype=torch.bool)
    for mask in masks:
        corners = torch.rand(4, generator=generator) * torch.tensor([*size, *size])
        y, x, y2, x2 = corners.long().tolist()
        mask[min(y, y2) : max(y, y2) + 1, min(x, x2) : max(x, x2) + 1] = True
    return masks


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kernel", ["gaussian", "linear"])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 40])
@pytest.mark.parametrize("num_labels", [1, 3])
def test_equals_loops(function, random_case, kernel, n, num_labels):
    for seed in range(5):
        masks, labels, scores = random_case(n, num_labels=num_labels, seed=seed)
        expected = matrix_nms_by_loops(masks, labels, scores, kernel, 2.0)
        for form in (masks, masks.to(torch.uint8), masks.float(), pack_masks(masks)[0]):
            ours = function(form, labels, scores, kernel, 2.0)
            assert ours.dtype == scores.dtype
            torch.testing.assert_close(ours.double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("kernel", ["gaussian", "linear"])
def test_equals_loops_on_overlapping_rectangles(size, kernel):
    """200 cases over all shapes: words that end anywhere, nested and near-identical masks."""
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        masks = blobs(2 + seed, size, generator)
        masks[-1] = masks[0]
        labels = torch.randint(1 + seed % 3, (len(masks),), generator=generator)
        scores = torch.linspace(1, 0, len(masks))
        expected = matrix_nms_by_loops(masks, labels, scores, kernel, 0.5 + seed)
        for function in FUNCTIONS:
            ours = function(masks, labels, scores, kernel, 0.5 + seed)
            torch.testing.assert_close(ours.double(), expected, atol=1e-6, rtol=0)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=0, max_size=9),
    labels=st.lists(st.integers(-(2**62), 2**62), min_size=9, max_size=9),
    classes=st.integers(1, 3),
    kernel=st.sampled_from(["gaussian", "linear"]),
    sigma=st.floats(0, 100),
)
def test_equals_loops_on_whatever_hypothesis_finds(rows, labels, classes, kernel, sigma):
    n = len(rows)
    masks = torch.tensor(rows, dtype=torch.bool).reshape(n, 2, 3)
    labels = torch.tensor([labels[i % classes] for i in range(n)], dtype=torch.int64)
    scores = torch.linspace(1, 0.5, n) if n > 1 else torch.ones(n)
    expected = matrix_nms_by_loops(masks, labels, scores, kernel, sigma)
    for function in FUNCTIONS:
        decayed = function(masks, labels, scores, kernel, sigma)
        assert not decayed.isnan().any()
        torch.testing.assert_close(decayed.double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nearly_identical_masks_keep_their_digits(function):
    """1 - IoU is 1e-4: as 1 - 0.9999 in float32 it would lose the fourth digit of the linear decay."""
    masks = torch.ones(4, 100, 100, dtype=torch.bool)
    for i in range(4):
        masks[i].view(-1)[:i] = False
    labels, scores = torch.zeros(4, dtype=torch.int64), torch.ones(4)
    expected = matrix_nms_by_loops(masks, labels, scores, "linear", 2.0)
    torch.testing.assert_close(
        function(masks, labels, scores, "linear").double(), expected, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kernel", ["gaussian", "linear"])
def test_identical_masks_never_give_nan(function, kernel):
    masks = torch.ones(6, 4, 5, dtype=torch.bool)
    decayed = function(masks, torch.zeros(6, dtype=torch.int64), torch.ones(6), kernel)
    assert not decayed.isnan().any()
    assert decayed[0] == 1 and (decayed[1:] < 1).all()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kernel", ["gaussian", "linear"])
def test_empty_masks_suppress_nothing(function, kernel):
    masks, scores = torch.zeros(5, 4, 5, dtype=torch.bool), torch.linspace(1, 0, 5)
    assert torch.equal(function(masks, None, scores, kernel), scores)


def test_one_class_is_the_same_as_equal_labels(random_case):
    masks, _, scores = random_case(30)
    labels = torch.full((30,), 7, dtype=torch.int32)
    assert torch.equal(matrix_nms(masks, None, scores), matrix_nms(masks, labels, scores))


def test_layout_does_not_matter(random_case):
    masks, labels, scores = random_case(9, size=(200, 400))
    expected = matrix_nms(masks, labels, scores)
    transposed = masks.transpose(1, 2).contiguous().transpose(1, 2)
    spread = torch.zeros(18, dtype=torch.int64)
    spread[::2] = labels
    assert torch.equal(matrix_nms(transposed, spread[::2], scores.expand(2, 9).T[:, 0]), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_scores_and_masks_in_other_precisions(random_case, dtype):
    masks, labels, scores = random_case(30)
    soft = torch.where(masks, 0.9, 0.1).to(dtype)
    for function in FUNCTIONS:
        decayed = function(soft, labels, scores.to(dtype))
        assert decayed.dtype == dtype
        expected = function(masks, labels, scores.to(dtype).float()).to(dtype)
        torch.testing.assert_close(decayed, expected)


def test_threshold_of_logits(random_case):
    masks, labels, scores = random_case(20)
    logits = torch.where(masks, 0.2, -0.2)
    expected = matrix_nms(masks, labels, scores)
    assert torch.equal(matrix_nms(logits, labels, scores, threshold=0.0), expected)


def test_more_bits_than_32_bits_can_count():
    """2,056 masks of 2^20 pixels: 2^31 bits and more. Only the last two share a class."""
    bits = torch.zeros(2056, 1 << 14, dtype=torch.int64)
    bits[-2:] = -1
    labels = torch.arange(2056)
    labels[-1] = labels[-2]
    decayed = matrix_nms(bits, labels, torch.ones(2056))
    assert (decayed[:-1] == 1).all() and decayed[-1].item() == pytest.approx(math.exp(-2))


def test_autocast_does_not_reach_the_counts(random_case):
    masks, labels, scores = random_case(40, size=(97, 101))
    for function in FUNCTIONS:
        expected = function(masks, labels, scores)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(function(masks, labels, scores), expected)


def test_compiles_without_graph_breaks(random_case):
    def scored(soft, labels, scores):
        bits, area, soft_sum = pack_masks(soft)
        return matrix_nms(bits, labels, scores * soft_sum / area.clamp(min=1))

    masks, labels, scores = random_case(12)
    compiled = torch.compile(scored, fullgraph=True, backend="eager")
    soft = torch.where(masks, 0.8, 0.3)
    torch.testing.assert_close(compiled(soft, labels, scores), scored(soft, labels, scores))


def test_exports(random_case):
    class Suppressor(torch.nn.Module):
        def forward(self, masks, labels, scores):
            return matrix_nms(masks, labels, scores, "linear")

    case = random_case(12)
    program = torch.export.export(Suppressor(), case)
    assert torch.equal(program.module()(*case), matrix_nms(*case, "linear"))


@pytest.mark.parametrize("n", [0, 1, 7])
def test_opcheck(random_case, n):
    torch.library.opcheck(torch.ops.solo_d2.matrix_nms, random_case(n))


def test_bad_input_is_named(random_case):
    with pytest.raises(InputError, match="'gaussian' or 'linear', not 'cosine'"):
        matrix_nms(*random_case(3), kernel="cosine")
    masks, labels, scores = random_case(3)
    with pytest.raises(InputError, match=r"scores must be \(3,\)"):
        matrix_nms(masks, labels, scores[:2])
    with pytest.raises(InputError, match="masks must be"):
        matrix_nms(masks.to(torch.int32), labels, scores)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kernel", ["gaussian", "linear"])
def test_gpu_equals_the_reference(random_case, kernel):
    for n in (0, 1, 5, 130):
        masks, labels, scores = (x.cuda() for x in random_case(n, size=(97, 131)))
        torch.testing.assert_close(
            matrix_nms(masks, labels, scores, kernel),
            reference(masks, labels, scores, kernel),
            atol=1e-6,
            rtol=0,
        )


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
