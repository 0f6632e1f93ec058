import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from detectron2.structures import BitMasks, Boxes, Instances
from solo_d2.structures import RunMasks, boxes_from_masks, mass_centers
from solo_d2.structures.coco_masks import BrokenRecord, runs_of_rle


def _random_masks(generator, count, height, width):
    """Blobs of all densities, among them empty, full and single pixels, in all corners."""
    density = torch.rand(count, 1, 1, generator=generator) ** 2
    masks = torch.rand(count, height, width, generator=generator) < density
    box = torch.rand(count, 4, generator=generator) * torch.tensor([height, width] * 2)
    for index, (mask, (a, b, c, d)) in enumerate(zip(masks, box.long().tolist(), strict=True)):
        if index % 4 == 0:
            mask[a:c].zero_()
            mask[:, b:d].zero_()
        elif index % 4 == 1:
            mask[...] = False
            mask[min(a, c) : max(a, c), min(b, d) : max(b, d)] = True
    masks[0], masks[1] = False, True
    masks[2] = False
    masks[2, -1, -1] = True
    return masks


def _runs(masks):
    rles = [coco_mask.encode(np.asfortranarray(mask.numpy(), np.uint8)) for mask in masks]
    return runs_of_rle(rles, *masks.shape[1:])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (7, 5), (40, 33), (65, 130)])
@pytest.mark.parametrize("seed", range(3))
def test_runs_are_the_dense_masks(size, seed):
    masks = _random_masks(torch.Generator().manual_seed(seed), 12, *size)
    runs = _runs(masks)
    assert len(runs) == 12 and runs.image_size == masks.shape[1:]
    assert torch.equal(runs.tensor, masks)
    assert torch.equal(torch.stack(list(runs)), masks)
    assert torch.equal(runs.nonempty(), masks.flatten(1).any(1))
    assert torch.equal(runs.get_bounding_boxes().tensor, boxes_from_masks(masks))
    for ours, reference in zip(mass_centers(runs), mass_centers(masks), strict=True):
        assert torch.equal(ours, reference) and ours.dtype == reference.dtype
    for stride, taps in ((1, (0,)), (2, (0, 1)), (4, (1, 2)), (4, (2,)), (8, (3, 4)), (3, (0, 1, 2))):
        blocks = [-(-side // stride) + 1 for side in size]
        padded = torch.zeros(12, blocks[0] * stride, blocks[1] * stride, dtype=torch.uint8)
        padded[:, : size[0], : size[1]] = masks
        expected = sum(padded[:, row::stride, column::stride] for row in taps for column in taps)
        assert torch.equal(runs.count_taps(stride, taps, blocks), expected)


def test_selection_and_joining_are_bit_masks():
    masks = _random_masks(torch.Generator().manual_seed(5), 9, 20, 30)
    runs = _runs(masks)
    chosen = torch.tensor([True, False, True] * 3)
    for item in (chosen, chosen.nonzero().squeeze(1), torch.tensor([8, 0, 0]), slice(2, 7, 2), [1, 3], -1, 4):
        assert torch.equal(runs[item].tensor, BitMasks(masks)[item].tensor)
    assert len(runs[torch.zeros(9, dtype=torch.bool)].tensor) == 0
    assert torch.equal(RunMasks.cat([runs[:4], runs[4:]]).tensor, masks)
    assert torch.equal(RunMasks.cat([runs[:4], BitMasks(masks[4:])]).tensor, masks)


def test_instances_hold_them():
    masks = _random_masks(torch.Generator().manual_seed(6), 6, 20, 30)
    runs = _runs(masks)
    instances = Instances((20, 30), gt_masks=runs, gt_boxes=Boxes(boxes_from_masks(masks)))
    kept = instances[runs.nonempty()].to("cpu")
    assert torch.equal(kept.gt_masks.tensor, masks[masks.flatten(1).any(1)])
    assert torch.equal(Instances.cat([instances, instances]).gt_masks.tensor, torch.cat([masks, masks]))
    assert instances.to("meta").gt_masks.device.type == "meta"
    assert isinstance(instances.gt_masks, BitMasks) and "6" in repr(runs)


def test_no_masks():
    runs = runs_of_rle([], 4, 5)
    assert runs.tensor.shape == (0, 4, 5) and runs.get_bounding_boxes().tensor.shape == (0, 4)
    assert mass_centers(runs)[0].shape == (0, 2) and runs.count_taps(2, (0,), (2, 3)).shape == (0, 2, 3)


@pytest.mark.parametrize("counts", [b"", b"1", b"PPPPPPPPP1", "\x00", "54", b"o0"])
def test_malformed_rles_are_refused(counts):
    sound = coco_mask.encode(np.zeros((4, 5), np.uint8, order="F"))
    with pytest.raises(BrokenRecord, match="malformed RLE"):
        runs_of_rle([sound, {"counts": counts}, sound], 4, 5)
