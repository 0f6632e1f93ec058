"""Restored masks against torch's interpolation of whole images."""

import resource
import sys

import pytest
import torch
import torch.nn.functional as F

from solo_d2.layers import restore_size
from solo_d2.ops import load_extension, masks_to_rle, restore_masks
from solo_d2.ops.restore_masks import reference, reference_crops
from solo_d2.structures import boxes_from_masks
from solo_d2.utils.errors import InputError

COMPILED = load_extension() == ""
OPERATORS = (torch.ops.solo_d2.restore_masks, torch.ops.solo_d2.restore_crops)


def soft_masks(count, size, seed=0, grid=4):
    """Smooth blobs over [0, 1] that differ in extent, the last one empty."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, grid, grid + 1, generator=generator) ** 2
    masks = F.interpolate(coarse, size=size, mode="bicubic")[:, 0].clamp(0, 1)
    masks[-1] = 0.2
    return masks


def values(masks, image, output, stride, aligned):
    return restore_size(masks.float()[:, None], image, output, stride, aligned=aligned)[:, 0]


# Mask, stride, image, output. Torch rounds differently in images of 128 rows and columns together or fewer.
FRAMES = [
    ((50, 76), 4, (200, 304), (200, 304)),
    ((50, 76), 4, (187, 301), (187, 301)),
    ((50, 76), 4, (187, 301), (270, 405)),
    ((50, 76), 4, (187, 301), (99, 163)),
    ((50, 76), 4, (200, 304), (200, 151)),
    ((25, 38), 8, (199, 303), (500, 750)),
    ((100, 120), 2, (200, 239), (240, 239)),
    ((90, 120), 1, (90, 119), (300, 200)),
    ((1, 1), 128, (128, 128), (200, 100)),
    ((1, 40), 4, (3, 160), (5, 700)),
]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("size", "stride", "image", "output"), FRAMES)
def test_no_pixel_is_different(size, stride, image, output, aligned):
    for seed in range(4):
        masks = soft_masks(7, size, seed)
        restored, boxes, areas = restore_masks(masks, 0.5, image, output, stride, aligned)
        expected = values(masks, image, output, stride, aligned) > 0.5
        assert restored.dtype == torch.bool and torch.equal(restored, expected)
        assert boxes.dtype == torch.float32 and torch.equal(boxes, boxes_from_masks(expected))
        assert areas.dtype == torch.int64 and torch.equal(areas, expected.flatten(1).sum(1))
        for function in (reference, reference_crops):
            *_, own_boxes, own_areas = function(masks, 0.5, image, output, stride, aligned)
            assert torch.equal(own_boxes, boxes) and torch.equal(own_areas, areas)


@pytest.mark.parametrize("aligned", [False, True])
def test_small_images_differ_at_the_threshold_only(aligned):
    """Random pixels in 200 frames: every wrong one must be within a rounding of the threshold."""
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)

        def pick(low, high, generator=generator):
            return int(torch.randint(low, high, (1,), generator=generator))

        height, width, stride = pick(1, 13), pick(1, 13), (1, 2, 4, 8)[seed % 4]
        image = (pick(1, height * stride + 1), pick(1, width * stride + 1))
        output = image if seed % 3 == 0 else (pick(1, 70), pick(1, 50))
        masks = torch.rand(3, height, width, generator=generator)
        restored = restore_masks(masks, 0.5, image, output, stride, aligned).masks
        exact = values(masks, image, output, stride, aligned)
        wrong = restored != (exact > 0.5)
        assert ((exact[wrong] - 0.5).abs() < 1e-6).all() and wrong.float().mean() < 0.01


@pytest.mark.parametrize(("size", "stride", "image", "output"), FRAMES)
def test_crops_hold_the_same_masks(size, stride, image, output):
    masks = soft_masks(5, size, seed=9)
    restored, boxes, areas = restore_masks(masks, 0.4, image, output, stride)
    crops, *others = restore_masks(masks, 0.4, image, output, stride, crops=True)
    assert torch.equal(crops.dense(), restored)
    assert torch.equal(others[0], boxes) and torch.equal(others[1], areas)


@pytest.mark.parametrize("plateau", [0.5, 0.49999997, 0.50000006])
def test_values_at_the_threshold(plateau):
    """Where all values are (about) the threshold, roundings decide: they are torch's."""
    for size, stride, image, output in FRAMES:
        masks = torch.full((2, *size), plateau)
        masks[1, ::3] = 0
        expected = values(masks, image, output, stride, False) > 0.5
        assert torch.equal(restore_masks(masks, 0.5, image, output, stride).masks, expected)


def test_logits():
    masks = soft_masks(6, (50, 76)).logit(1e-6)
    for threshold in (0.0, -3.0, 2.0):
        expected = values(masks, (187, 301), (270, 405), 4, False) > threshold
        restored = restore_masks(masks, threshold, (187, 301), (270, 405), 4).masks
        assert torch.equal(restored, expected)


@pytest.mark.parametrize("threshold", [-0.1, 0.0, 1.0, float("inf"), float("-inf")])
def test_everything_or_nothing(threshold):
    masks = torch.zeros(2, 50, 76)
    masks[1] = 1
    restored, boxes, areas = restore_masks(masks, threshold, (187, 301), (187, 301), 4)
    inside = [0 > threshold, 1 > threshold]
    assert areas.tolist() == [187 * 301 * one for one in inside]
    assert boxes.tolist() == [[0, 0, 301 * one, 187 * one] for one in inside]
    assert restored.flatten(1).all(1).tolist() == inside


def test_values_that_are_no_numbers_spoil_their_neighbors_only():
    masks = torch.ones(3, 50, 76)
    masks[0, 10, 10], masks[1, 10, 10], masks[2, 10, 10] = float("nan"), float("inf"), float("-inf")
    expected = values(masks, (200, 304), (270, 405), 4, False) > 0.5
    assert torch.equal(restore_masks(masks, 0.5, (200, 304), (270, 405), 4).masks, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_computed_in_float32(dtype):
    masks = soft_masks(4, (50, 76)).to(dtype)
    expected = restore_masks(masks.float(), 0.5, (187, 301), (270, 405), 4)
    for ours, wanted in zip(restore_masks(masks, 0.5, (187, 301), (270, 405), 4), expected, strict=True):
        assert torch.equal(ours, wanted)


def test_layout_and_threads_do_not_matter():
    masks = soft_masks(9, (50, 76))
    expected = restore_masks(masks, 0.5, (187, 301), (270, 405), 4).masks
    strided = masks.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(restore_masks(strided, 0.5, (187, 301), (270, 405), 4).masks, expected)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(restore_masks(masks, 0.5, (187, 301), (270, 405), 4).masks, expected)
    finally:
        torch.set_num_threads(threads)


def test_no_masks():
    restored, boxes, areas = restore_masks(torch.zeros(0, 5, 7), 0.5, (20, 28), (33, 44), 4)
    assert restored.shape == (0, 33, 44) and boxes.shape == (0, 4) and areas.shape == (0,)
    crops = restore_masks(torch.zeros(0, 5, 7), 0.5, (20, 28), (33, 44), 4, crops=True).masks
    assert crops.dense().shape == (0, 33, 44) and len(crops) == 0
    huge = (1 << 20, 1 << 20)
    assert restore_masks(torch.zeros(0, 5, 7), 0.5, (20, 28), huge, 4).masks.shape == (0, *huge)


@pytest.mark.skipif(not COMPILED or sys.platform != "linux", reason="the reference computes whole images")
def test_memory_is_that_of_the_pixels():
    """Ten masks of 20,000 x 20,000 are 4 GB of zeros that nobody touches, and a few pages of pixels."""
    masks = torch.zeros(10, 100, 100)
    masks[:, 30, 40] = 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    restored, boxes, areas = restore_masks(masks, 0.5, (400, 400), (20_000, 20_000), 4)
    crops = restore_masks(masks, 0.5, (400, 400), (20_000, 20_000), 4, crops=True).masks
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB
    x0, y0, x1, y1 = boxes[7].int().tolist()
    assert restored[7, y0:y1, x0:x1].sum() == areas[7] > 0
    assert masks_to_rle(crops) == masks_to_rle(restored, boxes)


@pytest.mark.parametrize(
    ("masks", "threshold", "image", "output", "stride", "message"),
    [
        (torch.rand(5, 7), 0.5, (20, 28), (20, 28), 4, r"masks must be \(N, (h, w|H, W)\)"),
        (torch.rand(2, 5, 7) > 0.5, 0.5, (20, 28), (20, 28), 4, "floating, not"),
        (torch.rand(2, 5, 7), float("nan"), (20, 28), (20, 28), 4, "threshold must be a number"),
        (torch.rand(2, 5, 7), 0.5, (20, 29), (20, 28), 4, "image_size must be within"),
        (torch.rand(2, 5, 7), 0.5, (0, 28), (20, 28), 4, "image_size must be within"),
        (torch.rand(2, 5, 7), 0.5, (20, 28), (20, 0), 4, "output_size must be within"),
        (torch.rand(2, 5, 7), 0.5, (20, 28), (1 << 25, 28), 4, "output_size must be within"),
        (torch.rand(2, 5, 7), 0.5, (20, 28), (20, 28), 0, "stride must be at least 1"),
        (torch.rand(2, 5, 7), 0.5, (20, 28), (20, 28), 1 << 40, "image_size must be within"),
        (torch.rand(2, 0, 7), 0.5, (20, 28), (20, 28), 4, "image_size must be within"),
    ],
)
def test_bad_input_is_named(masks, threshold, image, output, stride, message):
    arguments = (masks, threshold, image, output, stride)
    with pytest.raises(InputError, match=message):
        restore_masks(*arguments)
    for function in (*OPERATORS, reference, reference_crops):
        with pytest.raises(ValueError, match=message):
            function(*arguments)


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("operator", OPERATORS)
def test_opcheck(operator, count):
    masks = torch.rand(count, 5, 7, requires_grad=True)
    torch.library.opcheck(operator, (masks, 0.5, (18, 27), (31, 50), 4, True))


def test_has_no_gradient():
    masks = torch.rand(3, 5, 7, requires_grad=True)
    for operator in OPERATORS:
        assert not any(result.requires_grad for result in operator(masks, 0.5, (18, 27), (31, 50), 4))


class Restorer(torch.nn.Module):
    def forward(self, masks):
        return tuple(restore_masks(masks, 0.5, (187, 301), (270, 405), 4))


def test_compiles_without_graph_breaks():
    masks = soft_masks(3, (50, 76))
    compiled = torch.compile(Restorer(), fullgraph=True, backend="eager")
    for ours, expected in zip(compiled(masks), Restorer()(masks), strict=True):
        assert torch.equal(ours, expected)


def test_exports_with_any_number_of_masks():
    masks = soft_masks(4, (50, 76))
    program = torch.export.export(Restorer(), (masks,), dynamic_shapes=({0: torch.export.Dim("count")},))
    for count in (4, 1, 3):
        for ours, expected in zip(program.module()(masks[:count]), Restorer()(masks[:count]), strict=True):
            assert torch.equal(ours, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("size", "stride", "image", "output"), FRAMES)
def test_gpu_equals_the_reference(size, stride, image, output, aligned):
    masks = soft_masks(7, size).cuda()
    restored, boxes, areas = restore_masks(masks, 0.5, image, output, stride, aligned)
    expected = values(masks, image, output, stride, aligned)
    wrong = restored != (expected > 0.5)
    assert ((expected[wrong] - 0.5).abs() < 1e-6).all()
    assert torch.equal(boxes, boxes_from_masks(restored))
    assert torch.equal(areas, restored.flatten(1).sum(1))
