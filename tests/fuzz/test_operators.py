"""Operators called by chance: each result is that of naive loops, or one line names the wrong argument."""

import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from solo_d2.ops import (
    MaskCrops,
    box_nms,
    mask_iou,
    mask_nms,
    masks_to_rle,
    matrix_nms,
    pack_masks,
    restore_masks,
)
from solo_d2.ops.mask_iou import reference as mask_iou_reference
from solo_d2.ops.masks_to_rle import reference as encode_masks_reference
from solo_d2.ops.masks_to_rle import reference_crops as encode_crops_reference
from solo_d2.ops.matrix_nms import reference as matrix_nms_reference
from solo_d2.ops.pack_masks import reference as pack_masks_reference
from solo_d2.ops.restore_masks import reference as restore_masks_reference
from solo_d2.ops.restore_masks import reference_crops as restore_crops_reference
from solo_d2.structures import boxes_from_masks
from tests.fuzz import naive_operators as naive
from tests.fuzz.cases import few_and_many, run_cases
from tests.fuzz.operator_arguments import BYTES, FLOATS, INF, NAN, Case

TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 2e-2}
OPERATORS = torch.ops.solo_d2


Check = Callable[[object], None]
Call = tuple[list[Callable], tuple, Check]


def close(found: Tensor, expected: Tensor, meta: bool) -> None:
    """Compares shape, dtype and, unless on the meta device, values."""
    assert found.shape == expected.shape and found.dtype == expected.dtype
    if not meta:
        tolerance = TOLERANCE.get(found.dtype, 2e-6)
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def gradient(result: Tensor, source: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(result.sum(), source)
    return found


def pack(case: Case) -> Call:
    masks, threshold = case.masks("masks", BYTES + FLOATS), case.threshold()

    def check(result):
        for found, expected in zip(result, naive.pack(masks, threshold), strict=True):
            close(found.detach(), expected, case.meta)
        if result[2].requires_grad and not case.meta:
            inside = torch.tensor(naive.binary(masks.detach(), threshold), dtype=torch.bool).view(masks.shape)
            assert torch.equal(gradient(result[2], masks), inside.to(masks.dtype))

    return [OPERATORS.pack_masks, pack_masks, pack_masks_reference], (masks, threshold), check


def iou(case: Case) -> Call:
    masks = case.dense_or_bits()
    labels, threshold = case.labels(len(masks) if masks.dim() else 3), case.threshold()

    def check(result):
        overlaps = naive.ious(masks, labels, threshold)
        close(result, torch.tensor(overlaps).view(len(masks), len(masks)), case.meta)
        assert not result.requires_grad

    return [OPERATORS.mask_iou, mask_iou, mask_iou_reference], (masks, labels, threshold), check


def matrix(case: Case) -> Call:
    masks = case.dense_or_bits()
    count = len(masks) if masks.dim() else 3
    labels, scores = case.labels(count), case.scores(count)
    kernel = case.value("kernel", ["gaussian", "linear"], ["", "cosine", "GAUSSIAN"])
    sigma, threshold = case.sigma(), case.threshold()

    def check(result):
        factors = naive.matrix_decay(naive.ious(masks, labels, threshold), kernel, sigma)
        decay = torch.tensor(factors, dtype=torch.float64)
        close(result.detach(), (scores.detach().double() * decay).to(scores.dtype), case.meta)
        if scores.requires_grad and not case.meta:
            close(gradient(result, scores), decay.to(scores.dtype), False)

    functions = [OPERATORS.matrix_nms, matrix_nms]
    return [*functions, matrix_nms_reference], (masks, labels, scores, kernel, sigma, threshold), check


def family(case: Case) -> Call:
    masks = case.dense_or_bits()
    count = len(masks) if masks.dim() else 3
    labels, scores = case.labels(count), case.scores(count)
    nms_type = case.value("nms_type", ["fast", "hard", "soft"], ["", "Matrix", "greedy"])
    kernel = case.value("kernel", ["gaussian", "linear"], ["", "cosine"])
    sigma, threshold = case.sigma(), case.threshold()
    limit = case.value("iou_threshold", [0.5, 0.0, 0.25, 2.0, INF], [NAN, -1.0, -INF])
    if case.meta and nms_type != "fast" and count:
        case.wrong.append("masks")
    if nms_type == "soft" and not case.meta and count and not scores.to_dense().isfinite().all():
        case.wrong.append("scores")

    def check(result):
        overlaps = naive.ious(masks, labels, threshold)
        given = scores.detach().double().tolist()
        if nms_type == "soft":
            expected = naive.soft_nms(overlaps, given, kernel, sigma, limit)
        elif nms_type == "hard":
            kept = naive.greedy([[value > limit for value in row] for row in overlaps])
            expected = [score * keep for score, keep in zip(given, kept, strict=True)]
        else:
            most = [max(row[j] for row in overlaps) for j in range(count)]
            expected = [score * (worst <= limit) for score, worst in zip(given, most, strict=True)]
        close(result.detach(), torch.tensor(expected, dtype=torch.float64).to(scores.dtype), case.meta)

    return [mask_nms], (masks, labels, scores, nms_type, kernel, sigma, limit, threshold), check


def boxes_of(case: Case, count: int) -> Tensor:
    """Draws good boxes, or bad ones, of which ``case.wrong`` then tells."""
    corners = case.random(count, 4) * case.choose(1, 10, 1e9)
    if case.chance(2):
        corners = corners.round()
    boxes = torch.cat([corners[:, :2].minimum(corners[:, 2:]), corners[:, :2].maximum(corners[:, 2:])], 1)
    if count > 2:
        boxes[2] = boxes[1]
    good = [boxes, boxes.double(), boxes.t().contiguous().t(), boxes[:1].expand_as(boxes)]
    bad = [boxes.long(), boxes[:, :3], boxes.flatten(), boxes.to_sparse()]
    if count:
        bad += [boxes * 1e10 + 1e10, torch.full_like(boxes, NAN), torch.full_like(boxes, INF)]
        bad += [torch.cat([boxes[:, 2:] + 1, boxes[:, :2]], 1)]
    return case.value("boxes", good, bad)


def boxes(case: Case) -> Call:
    count = case.choose(0, 1, 2, 3, 7)
    given, labels = boxes_of(case, count), case.labels(count)
    if labels is None:
        labels = torch.zeros(count, dtype=torch.int64)
    limit = case.value("iou_threshold", [0.5, 0.0, 0.25, 2.0, INF], [NAN, -1.0, -INF])
    most = case.value("max_kept", [None, 0, 1, 3, 100], [-1])
    if case.meta:
        case.wrong.append("boxes")

    def check(result):
        suppresses, clear = naive.box_suppression(given, labels, limit)
        kept = [index for index, keep in enumerate(naive.greedy(suppresses)) if keep]
        assert result.dtype == torch.int64 and (not clear or result.tolist() == kept[:most])

    return [box_nms], (given, labels, limit, most), check


def restoring(case: Case) -> tuple[tuple, Check]:
    masks = case.masks("masks", FLOATS)
    stride = case.value("stride", [1, 2, 3, 4, 8], [0, -1, 2**40])
    covered = [side * stride if side * stride > 0 else 1 for side in (*masks.shape[-2:], 1, 1)[:2]]
    image = [
        case.value("image_size", [side, max(side - 1, 1), 1], [0, -1, side + 1, 2**40]) for side in covered
    ]
    output = [case.value("output_size", [side, 1, 2, 5, 66], [0, -1, 2**24 + 1]) for side in image]
    if case.chance(16):
        case.wrong.append("output_size")
        output = output[:1]
    if not all(masks.shape[-2:]):
        case.wrong.append("image_size")
    arguments = (masks, case.threshold(), image, output, stride, case.choose(False, True))

    def check(found, boxes, areas):
        if case.meta:
            return
        expected, sure = naive.restore(*arguments)
        assert found.shape == expected.shape and found.dtype == torch.bool
        assert not (found ^ expected)[sure].any()
        assert torch.equal(boxes, boxes_from_masks(found)) and torch.equal(areas, found.flatten(1).sum(1))

    return arguments, check


def restored(case: Case) -> Call:
    arguments, check = restoring(case)
    functions = [OPERATORS.restore_masks, restore_masks, restore_masks_reference]
    return functions, arguments, lambda result: check(*result)


def restored_crops(case: Case) -> Call:
    arguments, check = restoring(case)
    if case.meta:
        case.wrong.append("masks")

    def check_crops(result):
        if len(result) == 4:
            result = (MaskCrops(result[0], result[1], tuple(arguments[3])), *result[2:])
        check(result[0].dense(), *result[1:])

    functions = [
        OPERATORS.restore_crops,
        lambda *own: restore_masks(*own, crops=True),
        restore_crops_reference,
    ]
    return functions, arguments, check_crops


def check_texts(result: object, expected: list[bytes]) -> None:
    """Compares the texts of an operator, or of ``masks_to_rle``."""
    if not isinstance(result, list):
        characters, ends = result
        assert (characters.dtype, ends.dtype) == (torch.uint8, torch.int64)
        stops = [0, *ends.tolist()]
        result = [
            bytes(characters[start:stop].tolist()) for start, stop in zip(stops, stops[1:], strict=False)
        ]
    else:
        result = [one["counts"] for one in result]
    assert result == expected


def frames_of(case: Case, count: int, name: str) -> Tensor:
    """Draws (N, 4) whole frames, inside the image or far outside."""
    numbers = [-(2**63), 2**63 - 1, -3, 0, 0, 1, 2, 5, 7, 9, 70]
    rows = [[case.choose(*numbers) for _ in range(4)] for _ in range(count)]
    frames = torch.tensor(rows, dtype=torch.int64).reshape(count, 4)
    bad = [frames.float(), frames.int(), frames.flatten(), frames[:, :3]]
    return case.value(name, [frames, frames.t().contiguous().t()], bad)


def encoded(case: Case) -> Call:
    masks = case.masks("masks", BYTES)
    count = len(masks) if masks.dim() else 3
    boxes = None if case.chance(3) else frames_of(case, count, "boxes")
    if boxes is not None and case.chance(16):
        case.wrong.append("boxes")
        boxes = torch.cat([boxes, boxes, boxes.new_zeros(1, *boxes.shape[1:])])
    if case.meta:
        case.wrong.append("masks")

    def check(result):
        given = None if boxes is None else boxes.tolist()
        binary = naive.framed(masks, given)
        check_texts(result, [naive.rle(mask, masks.shape[1], masks.shape[2]) for mask in binary])

    return [OPERATORS.encode_masks, encode_masks_reference], (masks, boxes), check


def encoded_by_boxes(case: Case) -> Call:
    masks = case.masks("masks", BYTES)
    count = len(masks) if masks.dim() else 3
    corners = [
        [case.choose(-INF, INF, NAN, -2.5, 0, 0.5, 2, 3.5, 9, 66) for _ in range(4)] for _ in range(count)
    ]
    boxes = torch.tensor(corners, dtype=torch.float32).reshape(count, 4)
    bad = [
        boxes[:, :3],
        boxes.flatten(),
        torch.cat([boxes, boxes, boxes.new_zeros(1, 4)]),
        boxes.to(torch.complex64),
    ]
    boxes = case.value("boxes", [None, boxes, boxes.double(), boxes.clone().requires_grad_()], bad)
    if case.meta:
        case.wrong.append("masks")

    def check(result):
        binary = naive.framed(masks, None if boxes is None else boxes.detach().tolist())
        check_texts(result, [naive.rle(mask, masks.shape[1], masks.shape[2]) for mask in binary])

    return [masks_to_rle], (masks, boxes), check


def encoded_crops(case: Case) -> Call:
    count = case.choose(0, 1, 2, 5)
    sizes = [(0, 0), (0, 7), (7, 0), (1, 1), (7, 66), (66, 9), (70, 70)]
    height, width = case.value("height", sizes, [(-1, 3), (3, -1), (2**40, 1), (1, 2**40), (2**31, 2**31)])
    frames = frames_of(case, count, "frames")
    needed = 0
    if not case.wrong:
        needed = naive.crops(torch.zeros(0, dtype=torch.int64), frames, height, width)[1]
    words = case.random(needed).double().view(torch.int64) * case.choose(1, 3, -7)
    words = case.value("words", [words], [words.int(), words[None], torch.cat([words, words.new_zeros(1)])])
    if case.meta:
        case.wrong.append("words")

    def check(result):
        masks, _ = naive.crops(words, frames, height, width)
        check_texts(result, [naive.rle(mask, height, width) for mask in masks])

    def encode(words, frames, height, width):
        return masks_to_rle(MaskCrops(words, frames, (height, width)))

    functions = [OPERATORS.encode_crops, encode, encode_crops_reference]
    return functions, (words, frames, height, width), check


# What the messages call an argument otherwise.
TITLES = {"kernel": "NMS kernel", "nms_type": "NMS type", "height": "pixels"}


def one_case(data: st.DataObject) -> None:
    case = Case(data)
    case.meta = case.chance(12)
    make = case.choose(
        pack, iou, matrix, family, boxes, restored, restored_crops, encoded, encoded_by_boxes, encoded_crops
    )
    functions, arguments, check = make(case)
    if case.meta:
        arguments = tuple(one.to("meta") if isinstance(one, Tensor) else one for one in arguments)
        functions = [function for function in functions if not function.__name__.startswith("reference")]
    for function in functions:
        if not case.wrong:
            check(function(*arguments))
            continue
        with pytest.raises((RuntimeError, ValueError, TypeError)) as caught:
            function(*arguments)
        names = [TITLES.get(name, name) for name in case.wrong]
        line = str(caught.value)
        assert "\n" not in line and len(line) < 400 and re.search(rf"\b({'|'.join(names)})\b", line), (
            line,
            names,
        )


@few_and_many(200, 2000)
def test_operators(count):
    run_cases(count, one_case)
