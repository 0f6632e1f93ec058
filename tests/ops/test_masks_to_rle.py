"""RLE against pycocotools, string by string."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch

from solo_d2.ops import MaskCrops, masks_to_rle
from solo_d2.ops.masks_to_rle import reference, reference_crops
from solo_d2.structures import boxes_from_masks
from solo_d2.utils.errors import InputError

RECTANGLE = torch.zeros(1, 6, 8, dtype=torch.bool)
RECTANGLE[0, 1:3, 2:7] = True


def by_pycocotools(masks):
    columns_first = np.asfortranarray(masks.permute(1, 2, 0).numpy().astype(np.uint8))
    return mask_util.encode(columns_first)


def check(masks):
    """All four ways to encode, and what comes back from the text."""
    expected = by_pycocotools(masks)
    crops = MaskCrops.from_masks(masks)
    boxes = boxes_from_masks(masks)
    for found in (masks_to_rle(masks), masks_to_rle(masks, boxes), masks_to_rle(crops)):
        assert found == expected
    assert np.array_equal(mask_util.decode(expected), masks.permute(1, 2, 0).numpy())


def random_masks(seed, count=50):
    """Noise of any density, rectangles, stripes and their complements, of sizes around words' ends."""
    generator = torch.Generator().manual_seed(seed)
    sides = (1, 2, 3, 31, 63, 64, 65, 100, 127, 128, 129)
    height, width = (sides[int(torch.randint(len(sides), (1,), generator=generator))] for _ in range(2))
    masks = torch.rand(count, height, width, generator=generator)
    masks = masks < torch.rand(count, 1, 1, generator=generator) ** 3
    y, x = torch.arange(height)[:, None], torch.arange(width)
    corner = torch.rand(count, 4, 1, 1, generator=generator)
    size = torch.tensor([height, width, height, width]).view(4, 1, 1) + 1
    top, left, bottom, right = (corner * size).floor().unbind(1)
    rectangles = (y >= top) & (y < bottom) & (x >= left) & (x < right)
    stripes = ((y + 3 * x) % (2 + (corner[:, 0] * 9).floor()) == 0) & rectangles
    kind = torch.arange(count) % 5
    for number, other in ((1, rectangles), (2, ~rectangles), (3, stripes), (4, rectangles & masks)):
        masks[kind == number] = other[kind == number]
    return masks


def test_10000_random_masks():
    for seed in range(200):
        check(random_masks(seed))


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (63, 64), (64, 65), (130, 67)])
def test_adversarial_masks(size):
    """Empty, full, one pixel in every corner, each border, all but one pixel, every second pixel."""
    height, width = size
    masks = torch.zeros(14, *size, dtype=torch.bool)
    masks[1] = True
    for i, (y, x) in enumerate(((0, 0), (0, -1), (-1, 0), (-1, -1), (height // 2, width // 2))):
        masks[2 + i, y, x] = True
    masks[7, 0], masks[8, -1], masks[9, :, 0], masks[10, :, -1] = True, True, True, True
    masks[11, [0, -1]] = True
    masks[12] = ~masks[6]
    masks[13] = (torch.arange(height)[:, None] + torch.arange(width)) % 2 == 0
    check(masks)


def test_runs_of_many_digits():
    masks = torch.zeros(3, 2000, 3001, dtype=torch.bool)
    masks[0, 1999, 3000] = True
    masks[1, 5:1995, 1000:1001] = True
    masks[2, 0, ::999] = True
    check(masks)


def test_integers_layout_and_threads():
    masks = random_masks(3)
    expected = by_pycocotools(masks)
    assert masks_to_rle(masks.to(torch.uint8) * 200) == expected
    transposed = masks.transpose(1, 2).contiguous().transpose(1, 2)
    wide = torch.zeros(masks.shape[0], masks.shape[1] + 2, masks.shape[2] + 3, dtype=torch.bool)
    wide[:, 1:-1, 2:-1] = masks
    for view in (transposed, wide[:, 1:-1, 2:-1]):
        assert not view.is_contiguous() and masks_to_rle(view) == expected
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert masks_to_rle(masks) == expected
    finally:
        torch.set_num_threads(threads)


def test_only_pixels_inside_boxes_are_read():
    masks = torch.ones(4, 20, 30, dtype=torch.bool)
    boxes = torch.tensor([[2.0, 3, 10, 12], [2.5, 3.5, 9.5, 11.5], [-5, -5, 99, 99], [7, 7, 7, 9]])
    expected = torch.zeros_like(masks)
    expected[:2, 3:12, 2:10] = True
    expected[2] = True
    assert masks_to_rle(masks, boxes) == by_pycocotools(expected)
    everything = torch.full((4, 4), float("nan"))
    assert masks_to_rle(masks, everything) == by_pycocotools(masks)


@pytest.mark.parametrize("shape", [(0, 5, 7), (3, 0, 7), (3, 5, 0)])
def test_nothing_to_encode(shape):
    masks = torch.zeros(shape, dtype=torch.bool)
    expected = [{"size": list(shape[1:]), "counts": b"0" if 0 in shape[1:] else b""}] * shape[0]
    assert masks_to_rle(masks) == expected


def test_every_kernel_gives_the_same():
    masks = random_masks(4)
    crops = MaskCrops.from_masks(masks)
    boxes = crops.frames
    results = [
        torch.ops.solo_d2.encode_masks(masks),
        torch.ops.solo_d2.encode_masks(masks, boxes),
        torch.ops.solo_d2.encode_crops(crops.words, crops.frames, *crops.size),
        reference(masks),
        reference(masks, boxes),
        reference_crops(crops.words, crops.frames, *crops.size),
    ]
    for characters, ends in results[1:]:
        assert torch.equal(characters, results[0][0]) and torch.equal(ends, results[0][1])


def test_bad_masks_are_named():
    for masks in (torch.ones(3, 4, dtype=torch.bool), torch.ones(1, 3, 4)):
        with pytest.raises(InputError, match=r"masks must be \(N, H, W\) bool or uint8"):
            masks_to_rle(masks)
        for function in (torch.ops.solo_d2.encode_masks, reference):
            with pytest.raises(ValueError, match=r"masks must be \(N, H, W\) bool or uint8"):
                function(masks)
    with pytest.raises(InputError, match=r"boxes must be \(1, 4\)"):
        masks_to_rle(RECTANGLE, torch.zeros(2, 4))
    for boxes in (torch.zeros(2, 4, dtype=torch.int64), torch.zeros(1, 3, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"boxes must be \(1, 4\)"):
            torch.ops.solo_d2.encode_masks(RECTANGLE, boxes)
    huge = torch.zeros(1, dtype=torch.bool).expand(1, 1 << 16, 1 << 16)
    with pytest.raises(InputError, match=r"2\^32 - 1 pixels"):
        masks_to_rle(huge)


def test_bad_crops_are_named():
    crops = MaskCrops.from_masks(RECTANGLE)
    with pytest.raises(InputError, match="mutually exclusive"):
        masks_to_rle(crops, crops.frames)
    cases = [
        (crops.words.int(), crops.frames, 6, 8, "words must be"),
        (crops.words, crops.frames.float(), 6, 8, "must be .*int64"),
        (crops.words, crops.frames[:, :3], 6, 8, "must be .*int64"),
        (crops.words, crops.frames, -1, 8, "pixels"),
        (crops.words, crops.frames, 1 << 31, 4, "pixels"),
        (crops.words[:1], crops.frames, 6, 8, "the frames need 2 words, not 1"),
        (crops.words, crops.frames, 2, 8, "the frames need 1 words, not 2"),
    ]
    for *arguments, message in cases:
        for function in (torch.ops.solo_d2.encode_crops, reference_crops):
            with pytest.raises(ValueError, match=message):
                function(*arguments)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_opcheck(count):
    masks = random_masks(7)[:count]
    crops = MaskCrops.from_masks(masks)
    torch.library.opcheck(torch.ops.solo_d2.encode_masks, (masks, crops.frames))
    torch.library.opcheck(torch.ops.solo_d2.encode_crops, (crops.words, crops.frames, *crops.size))
