"""The merge by operations of fixed shapes, against the merge of one image."""

import pytest
import torch

from detectron2.structures import Instances
from solo_d2.methods.panoptic.fixed import fixed_merge
from solo_d2.methods.panoptic.postprocess import PanopticMerge

NUM_LABELS, PADDED = 4, (24, 32)
SIZES = [(24, 32), (17, 30), (20, 9)]


def random_batch(count, seed):
    """Masks (B, M, H, W) of overlapping rectangles, scores, classes, a label map, and the images' pixels."""
    rng = torch.Generator().manual_seed(seed)
    corner = torch.rand(len(SIZES), count, 4, generator=rng) * torch.tensor([16.0, 20.0, 12.0, 14.0])
    top, left, height, width = corner[..., None, None].unbind(2)
    rows, columns = torch.arange(PADDED[0])[:, None], torch.arange(PADDED[1])
    inside = torch.stack([(rows < size[0]) & (columns < size[1]) for size in SIZES])
    masks = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    scores = torch.rand(len(SIZES), count, generator=rng).sort(1, descending=True).values
    classes = torch.randint(0, 5, (len(SIZES), count), generator=rng)
    labels = torch.randint(0, NUM_LABELS, (len(SIZES), *PADDED), generator=rng)
    labels[1][labels[1] == 2] = 3
    return masks & inside[:, None], scores, classes, labels, inside


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize(
    "merge",
    [PanopticMerge(0.5, 40, 0.3), PanopticMerge(0.0, 0, 0.0), PanopticMerge(1.0, 5, 0.9)],
    ids=["usual", "no overlap", "any overlap"],
)
def test_the_batch_is_merged_as_each_image_is(merge, count):
    masks, scores, classes, labels, inside = random_batch(count, seed=count)
    found = fixed_merge(merge, masks, scores, classes, labels, inside, num_labels=NUM_LABELS)
    assert {
        len(values[0]) for name, values in found.items() if name[:8] == "segment_" and values.dim() > 1
    } == {count + NUM_LABELS - 1}
    for i, (height, width) in enumerate(SIZES):
        instances = Instances((height, width))
        instances.pred_masks, instances.scores = masks[i, :, :height, :width], scores[i]
        instances.pred_classes = classes[i]
        ids, segments = merge(instances, labels[i, :height, :width])
        mine = {name.removeprefix("segment_"): values[i] for name, values in found.items()}
        assert torch.equal(mine["panoptic"][:height, :width], ids)
        assert mine["panoptic"].dtype == torch.int32 and mine["panoptic"].sum() == ids.sum()
        assert int(mine["count"]) == len(segments)
        for name in ("classes", "things", "scores", "areas", "instances"):
            assert not mine[name][len(segments) :].any()
        for k, segment in enumerate(segments):
            assert segment["id"] == k + 1 and bool(mine["things"][k]) == segment["isthing"]
            assert int(mine["classes"][k]) == segment["category_id"]
            assert float(mine["scores"][k]) == pytest.approx(segment.get("score", 0))
            assert int(mine["instances"][k]) == segment.get("instance_id", 0)
            assert int(mine["areas"][k]) == int((ids == k + 1).sum())


def test_the_merge_is_exported_for_any_batch_and_size():
    class Merge(torch.nn.Module):
        def forward(self, *parts):
            return fixed_merge(PanopticMerge(0.5, 40, 0.3), *parts, num_labels=NUM_LABELS)

    batch, rows, columns = (torch.export.Dim(name, min=1, max=64) for name in ("batch", "rows", "columns"))
    full = {0: batch, 1: rows, 2: columns}
    shapes = ({0: batch, 2: rows, 3: columns}, {0: batch}, {0: batch}, full, full)
    program = torch.export.export(Merge(), random_batch(2, 0), dynamic_shapes=(shapes,), strict=False)
    one = tuple(part[1:2, ..., :20] if part.dim() > 2 else part[1:2] for part in random_batch(2, 1))
    wanted = Merge()(*one)
    for name, values in program.module()(*one).items():
        assert torch.equal(values, wanted[name]), name
