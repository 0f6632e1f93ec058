"""Operators called directly: wrong inputs end in one line, from every kernel, and gradients are right."""

import shutil

import pytest
import torch

from solo_d2.ops import box_nms, mask_iou, mask_nms, masks_to_rle, matrix_nms, pack_masks, restore_masks
from solo_d2.ops.mask_iou import reference as mask_iou_reference
from solo_d2.ops.matrix_nms import reference as matrix_nms_reference
from solo_d2.ops.pack_masks import reference as pack_masks_reference

MASKS = torch.arange(4 * 6 * 7).view(4, 6, 7) % 5 > 1
LABELS = torch.tensor([0, 1, 0, 1])
SCORES = torch.linspace(1, 0.4, 4)
NAN = float("nan")

PACK = (torch.ops.solo_d2.pack_masks, pack_masks_reference, pack_masks)
IOU = (torch.ops.solo_d2.mask_iou, mask_iou_reference, mask_iou)
MATRIX = (torch.ops.solo_d2.matrix_nms, matrix_nms_reference, matrix_nms)


def refuses(functions, arguments, message):
    for function in functions:
        with pytest.raises(ValueError, match=message) as caught:
            function(*arguments)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("masks", "threshold", "message"),
    [
        (MASKS[0], 0.5, r"masks must be \(N, H, W\)"),
        (MASKS[None], 0.5, r"masks must be \(N, H, W\)"),
        (MASKS.int(), 0.5, "masks must be bool, uint8 or floating"),
        (MASKS.to(torch.complex64), 0.5, "masks must be bool, uint8 or floating"),
        (MASKS.float(), NAN, "threshold must be a number"),
        (MASKS.to_sparse(), 0.5, "masks must be dense"),
    ],
)
def test_pack_masks(masks, threshold, message):
    refuses(PACK, (masks, threshold), message)


BAD_MASKS = [
    (MASKS.flatten(1), LABELS, 0.5, "masks must be"),
    (MASKS.long(), LABELS, 0.5, "masks must be"),
    (MASKS.int(), LABELS, 0.5, "masks must be"),
    (MASKS, LABELS, NAN, "threshold must be a number"),
    (MASKS, LABELS[:3], 0.5, r"labels must be \(4,\)"),
    (MASKS, LABELS[:0], 0.5, r"labels must be \(4,\)"),
    (MASKS, LABELS[:, None], 0.5, r"labels must be \(4,\)"),
    (MASKS, LABELS.float(), 0.5, "labels must be int32 or int64"),
    (MASKS, LABELS.to("meta"), 0.5, "labels are on meta"),
]


@pytest.mark.parametrize(("masks", "labels", "threshold", "message"), BAD_MASKS)
def test_mask_iou_and_matrix_nms(masks, labels, threshold, message):
    refuses(IOU, (masks, labels, threshold), message)
    refuses(MATRIX, (masks, labels, SCORES, "gaussian", 2.0, threshold), message)


@pytest.mark.parametrize(
    ("scores", "kernel", "sigma", "message"),
    [
        (SCORES[:3], "gaussian", 2.0, r"scores must be \(4,\)"),
        (SCORES[:0], "linear", 2.0, r"scores must be \(4,\)"),
        (SCORES[:, None], "linear", 2.0, r"scores must be \(4,\)"),
        (SCORES.long(), "linear", 2.0, "and floating"),
        (SCORES.to("meta"), "linear", 2.0, "scores are on meta"),
        (SCORES, "cosine", 2.0, "'gaussian' or 'linear', not 'cosine'"),
        (SCORES, "gaussian", NAN, "sigma must be a finite number of at least 0"),
        (SCORES, "gaussian", float("inf"), "sigma must be"),
        (SCORES.to_sparse(), "linear", 2.0, "scores must be dense"),
        (SCORES, "gaussian", -1.0, "sigma must be a finite number of at least 0, not -1"),
    ],
)
def test_matrix_nms(scores, kernel, sigma, message):
    refuses(MATRIX, (MASKS, LABELS, scores, kernel, sigma, 0.5), message)


@pytest.mark.parametrize("nms_type", ["hard", "soft", "fast", "matrix"])
def test_every_kind_of_mask_nms(nms_type):
    refuses([mask_nms], (MASKS, LABELS, SCORES[:3], nms_type), r"scores must be \(4,\)")
    refuses([mask_nms], (MASKS, LABELS[:3], SCORES, nms_type), r"labels must be \(4,\)")
    refuses([mask_nms], (MASKS, LABELS, SCORES, nms_type, "gaussian", -1.0), "sigma must be")
    refuses([mask_nms], (MASKS, LABELS, SCORES, nms_type, "linear", 2.0, NAN), "iou_threshold must be")
    refuses([mask_nms], (MASKS, LABELS, SCORES, nms_type, "linear", 2.0, -0.5), "iou_threshold must be")


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_soft_nms_takes_finite_scores(value):
    scores = torch.tensor([value, 0.9, 0.8, 0.7])
    refuses([mask_nms], (MASKS, LABELS, scores, "soft"), "soft NMS .* finite")


BOXES = torch.tensor([[0.0, 0, 4, 4], [1, 1, 5, 5]])


@pytest.mark.parametrize(
    ("boxes", "labels", "threshold", "message"),
    [
        (BOXES[0], LABELS[:2], 0.5, r"boxes must be \(N, 4\)"),
        (BOXES[:, :3], LABELS[:2], 0.5, r"boxes must be \(N, 4\)"),
        (BOXES.long(), LABELS[:2], 0.5, r"boxes must be \(N, 4\) and floating"),
        (BOXES, LABELS[:1], 0.5, r"labels must be \(2,\) like the boxes"),
        (BOXES, LABELS[:2].float(), 0.5, "labels must be int32 or int64"),
        (BOXES, LABELS[:2], NAN, "iou_threshold must be"),
        (BOXES, LABELS[:2], -0.5, "iou_threshold must be"),
        (BOXES, LABELS[:2].to_sparse(), 0.5, "labels must be dense"),
        (BOXES.flip(1), LABELS[:2], 0.5, "inverted, NaN or out of range"),
        (BOXES * NAN, LABELS[:2], 0.5, "inverted, NaN or out of range"),
        (BOXES * 1e30, LABELS[:2], 0.5, "inverted, NaN or out of range"),
    ],
)
def test_box_nms(boxes, labels, threshold, message):
    refuses([box_nms], (boxes, labels, threshold), message)


def test_a_negative_number_of_boxes_is_not_kept():
    refuses([box_nms], (BOXES, LABELS[:2], 0.5, -1), "max_kept must be at least 0, not -1")


@pytest.mark.parametrize("nms_type", ["hard", "soft"])
def test_results_of_values_need_values(nms_type):
    """Without values, as on the meta device, a result has no shape, or the operator runs on the CPU."""
    masks, labels, scores, boxes = (one.to("meta") for one in (MASKS, LABELS, SCORES, BOXES))
    needed = "are on meta, but this operator needs their values"
    refuses([masks_to_rle, torch.ops.solo_d2.encode_masks], (masks,), f"masks {needed}")
    refuses([torch.ops.solo_d2.encode_crops], (labels, boxes.repeat(2, 1).long(), 6, 7), f"words {needed}")
    sizes = ((24, 28), (24, 28), 4)
    refuses([torch.ops.solo_d2.restore_crops], (masks.float(), 0.5, *sizes), f"masks {needed}")
    refuses([box_nms], (boxes, labels[:2], 0.5), f"boxes {needed}")
    refuses([mask_nms], (masks, labels, scores, nms_type), f"masks {needed}")


def test_a_huge_sigma_decays_what_overlaps():
    apart = torch.eye(3).bool()[:, None]
    for masks, expected in ((apart, [0.9, 0.5, 0.4]), (apart[:1].expand(3, 1, 3), [0.9, 0, 0])):
        found = mask_nms(masks, None, torch.tensor([0.9, 0.5, 0.4]), "soft", "gaussian", 1e300)
        assert found.tolist() == pytest.approx(expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("masks", "labels", "threshold", "message"), BAD_MASKS)
def test_gpu(masks, labels, threshold, message):
    labels = labels if labels.is_meta else labels.cuda()
    refuses(IOU[:1], (masks.cuda(), labels, threshold), message)
    refuses(MATRIX[:1], (masks.cuda(), LABELS.cuda(), SCORES[:3].cuda()), "scores must be|masks must be")


def test_the_gradient_of_scores_is_their_decay():
    scores = SCORES.double().requires_grad_()
    for kernel in ("gaussian", "linear"):
        assert torch.autograd.gradcheck(lambda s, k=kernel: matrix_nms(MASKS, LABELS, s, k), scores)
    soft = torch.rand(4, 6, 7, requires_grad=True)
    matrix_nms(soft, LABELS, scores).sum().backward()
    assert soft.grad is None


def test_the_gradient_of_the_soft_sum_is_inside():
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):
        soft = torch.rand(4, 6, 11, generator=generator).to(dtype).requires_grad_()
        weights = torch.tensor([1.0, 2, -3, 0])
        bits, area, soft_sum = pack_masks(soft, 0.4)
        assert not bits.requires_grad and not area.requires_grad
        (soft_sum * weights).sum().backward()
        assert soft.grad.dtype == dtype
        assert torch.equal(soft.grad.float(), (soft.float() > 0.4) * weights[:, None, None])


def test_an_iou_has_no_gradient():
    soft = torch.rand(4, 6, 7, requires_grad=True)
    assert not mask_iou(soft, LABELS).requires_grad


class Operators(torch.nn.Module):
    def forward(self, masks, labels, scores):
        bits, area, _ = pack_masks(masks)
        return matrix_nms(bits, labels, scores), mask_iou(masks, labels), area


@pytest.mark.parametrize("others", ["given", "inferred"])
def test_exports_with_any_number_of_masks(others):
    count = torch.export.Dim("count", max=1000) if others == "given" else torch.export.Dim.AUTO
    shapes = tuple({0: count} for _ in range(3))
    case = (MASKS.float(), LABELS, SCORES)
    program = torch.export.export(Operators(), case, dynamic_shapes=shapes)
    for n in (4, 2, 3):
        cut = tuple(x[:n] for x in case)
        for ours, expected in zip(program.module()(*cut), Operators()(*cut), strict=True):
            assert torch.equal(ours, expected)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_every_operator_compiles_with_inductor_at_its_defaults():
    def everything(masks, labels, scores):
        bits, area, soft_sum = pack_masks(masks)
        restored = restore_masks(masks, 0.5, (21, 25), (70, 90), 4)
        return area, soft_sum, matrix_nms(bits, labels, scores), mask_iou(bits, labels), *restored

    case = (torch.rand(4, 6, 7), LABELS, SCORES)
    compiled = torch.compile(everything, fullgraph=True)
    for ours, expected in zip(compiled(*case), everything(*case), strict=True):
        assert torch.equal(ours, expected)


def test_soft_nms_ranks_scores_of_any_sign():
    """All masks are equal: the best one left halves the others, whatever their sign and size."""
    masks = torch.ones(4, 3, 3, dtype=torch.bool)
    sigma = torch.log(torch.tensor(2.0)).item()
    scores = torch.tensor([-2.0, -4.0, -8.0, -160.0])
    found = mask_nms(masks, None, scores, "soft", "gaussian", sigma)
    assert found.tolist() == pytest.approx([-2, -2, -2, -20])
