"""Copy-paste against a loop over pixels; what is covered, cropped, withheld or without a field."""

from functools import partial

import numpy as np
import pytest
import torch

from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from solo_d2.config import get_cfg
from solo_d2.data.augmentations.copy_paste import CopyPaste
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

make_paste = partial(build, CopyPaste, get_cfg(), "INPUT.COPY_PASTE")


def make_sample(size, rectangles, value, **fields):
    """A plain image with a rectangle (x0, y0, x1, y1) per instance; classes are ``value`` and up."""
    instances = Instances(size)
    masks = torch.zeros(len(rectangles), *size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, rectangles, strict=True):
        mask[y0:y1, x0:x1] = True
    instances.gt_boxes = Boxes(torch.tensor(rectangles, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.arange(len(rectangles)) + value
    instances.gt_masks = BitMasks(masks)
    for name, field in fields.items():
        instances.set(name, field)
    return {"image": torch.full((3, *size), value, dtype=torch.uint8), "instances": instances, "height": 99}


def boxes(sample):
    return sample["instances"].gt_boxes.tensor.tolist()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("source_size", [(20, 30), (12, 40), (33, 17)])
def test_pixels_are_those_of_one_of_the_two(seed, source_size):
    np.random.seed(seed)
    sample = make_sample((20, 30), [(0, 0, 9, 9), (8, 5, 29, 18)], 10)
    source = make_sample(source_size, [(1, 1, 7, 6), (4, 8, 16, 12), (0, 0, 2, 2)], 50)
    before = sample["image"].clone(), sample["instances"].gt_masks.tensor.clone()
    result = make_paste()(sample, source)
    instances = result["instances"]
    masks = instances.gt_masks.tensor
    foreign = instances.gt_classes >= 50
    cover = masks[foreign].any(0)
    assert foreign.sum() <= 3 and result["height"] == 99
    assert torch.equal(result["image"], torch.where(cover, 50, 10).expand(3, -1, -1).byte())
    assert not (masks[~foreign] & cover).any(), "what is covered belongs to nobody else"
    for number, mask in zip(instances.gt_classes[~foreign] - 10, masks[~foreign], strict=True):
        assert torch.equal(mask, before[1][number] & ~cover)
    for box, mask in zip(boxes(result), masks, strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert torch.equal(sample["image"], before[0]), "the samples stay as they were"
    assert torch.equal(sample["instances"].gt_masks.tensor, before[1])


def test_random_choice_of_instances_follows_numpys_seed():
    sample = make_sample((8, 40), [], 10)
    source = make_sample((8, 40), [(4 * i, 0, 4 * i + 3, 8) for i in range(10)], 50)
    np.random.seed(0)
    first = [make_paste()(sample, source)["instances"].gt_classes.tolist() for _ in range(20)]
    np.random.seed(0)
    assert first == [make_paste()(sample, source)["instances"].gt_classes.tolist() for _ in range(20)]
    assert len({len(classes) for classes in first}) > 4
    assert {number for classes in first for number in classes} == set(range(50, 60))


@pytest.mark.parametrize("max_covered, kept", [(0.9, [10]), (0.94, [10, 11]), (1.0, [10, 11])])
def test_covered_instances_are_dropped(max_covered, kept):
    sample = make_sample((20, 20), [(0, 0, 20, 5), (0, 10, 20, 20), (3, 11, 9, 15)], 10)
    sample["instances"] = sample["instances"][torch.tensor([0, 1, 2])]
    source = make_sample((20, 20), [(0, 10, 20, 20)], 50)
    source["instances"].gt_masks.tensor[0, 19, :14] = False  # leaves 14 of instance 11's 200 pixels
    result = make_paste(max_covered=max_covered)(sample, source)
    assert result["instances"].gt_classes.tolist() == [*kept, 50]


def test_boxes_of_untouched_instances_are_kept_to_the_subpixel():
    sample = make_sample((20, 20), [(1, 1, 6, 6)], 10)
    sample["instances"].gt_boxes = Boxes(torch.tensor([[0.6, 0.7, 6.2, 6.1]]))
    source = make_sample((20, 20), [(10, 10, 15, 15)], 50)
    source["instances"].gt_boxes = Boxes(torch.tensor([[9.5, 10.25, 15.0, 15.0]]))
    expected = [[0.6, 0.7, 6.2, 6.1], [9.5, 10.25, 15.0, 15.0]]
    torch.testing.assert_close(
        make_paste()(sample, source)["instances"].gt_boxes.tensor, torch.tensor(expected)
    )


def test_fields_of_one_side_have_their_default_on_the_other():
    sample = make_sample((20, 20), [(0, 0, 4, 4)], 10, gt_has_mask=torch.tensor([False]))
    source = make_sample((20, 20), [(10, 10, 15, 15)], 50, gt_embeddings=torch.ones(1, 3))
    instances = make_paste()(sample, source)["instances"]
    assert instances.gt_embeddings.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert instances.gt_has_mask.tolist() == [False, True]


def test_nothing_to_paste_gives_the_sample_itself():
    sample = make_sample((20, 20), [(0, 0, 4, 4)], 10)
    withheld = make_sample((20, 20), [(1, 1, 9, 9)], 50, gt_has_mask=torch.tensor([False]))
    for source in (make_sample((9, 9), [], 50), withheld):
        assert make_paste()(sample, source) is sample


def test_onto_an_image_without_instances():
    result = make_paste()(make_sample((20, 20), [], 10), make_sample((20, 20), [(1, 1, 9, 9)], 50))
    assert result["instances"].gt_classes.tolist() == [50] and boxes(result) == [[1, 1, 9, 9]]


def test_labels_it_cannot_paste_are_refused():
    source = make_sample((20, 20), [(1, 1, 9, 9)], 50)
    polygons = make_sample((20, 20), [], 10)
    polygons["instances"].gt_masks = PolygonMasks([])
    with pytest.raises(InputError, match="needs bit masks"):
        make_paste()(polygons, source)
    with pytest.raises(InputError, match="semantic labels"):
        make_paste()({**source, "sem_seg": torch.zeros(20, 20)}, source)


def test_probability():
    np.random.seed(0)
    assert 400 < sum(make_paste(prob=0.25).wanted() for _ in range(2000)) < 600
    assert not any(make_paste(prob=0.0).wanted() for _ in range(100))
    assert all(make_paste(prob=1.0).wanted() for _ in range(100))
