"""Vectorized assignment against loops over levels, locations and instances."""

import pytest
import torch

from solo_d2.methods.condinst.points import PointGenerator
from solo_d2.methods.condinst.targets import assign_point_targets

NUM_CLASSES = 4
GENERATOR = PointGenerator.from_lists([8, 16, 32], [24, 48])


def naive(generator, points, boxes, classes, masks, radius):
    """One image: labels (K,), owners (K,), distances (K, 4)."""
    labels, owners, distances = [], [], []
    for (x, y), stride, level in zip(
        points.locations.tolist(), points.strides.tolist(), points.levels.tolist(), strict=True
    ):
        low, high = generator.size_ranges[level]
        best, best_area = -1, float("inf")
        for i, (box, mask) in enumerate(zip(boxes.tolist(), masks, strict=True)):
            rows, columns = mask.nonzero(as_tuple=True)
            cx, cy = (float(v.float().mean()) if len(v) else 0.0 for v in (columns, rows))
            x0, y0 = max(cx - radius * stride, box[0]), max(cy - radius * stride, box[1])
            x1, y1 = min(cx + radius * stride, box[2]), min(cy + radius * stride, box[3])
            reach = max(x - box[0], y - box[1], box[2] - x, box[3] - y)
            area = (box[2] - box[0]) * (box[3] - box[1])
            if x0 < x < x1 and y0 < y < y1 and low <= reach <= high and area < best_area:
                best, best_area = i, area
        owners.append(best)
        labels.append(NUM_CLASSES if best < 0 else int(classes[best]))
        box = boxes[best].tolist() if best >= 0 else [x - 1, y - 1, x + 1, y + 1]
        distances.append([x - box[0], y - box[1], box[2] - x, box[3] - y])
    return torch.tensor(labels), torch.tensor(owners), torch.tensor(distances)


def make_image(count: int, size: tuple[int, int], generator: torch.Generator):
    """Boxes, classes and masks that fill a part of their box."""
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([size[1], size[0]]) * 0.7
    side = 4 + torch.rand(count, 2, generator=generator) * 70
    far = torch.minimum(corner + side, torch.tensor([size[1], size[0]]).float())
    boxes = torch.cat([corner, far], dim=1)
    masks = torch.zeros(count, *size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.long().tolist(), strict=True):
        mask[y0 : y1 + 1, x0 : (x0 + x1) // 2 + 1] = True
    return boxes, torch.randint(NUM_CLASSES, (count,), generator=generator), masks


@pytest.mark.parametrize("radius", [1.5, 1.0, 2.2])
@pytest.mark.parametrize("counts", [(5, 8), (0, 6), (7, 0), (0, 0), (40, 1)])
def test_matches_loops(counts, radius):
    generator = torch.Generator().manual_seed(sum(counts))
    sizes = [(96, 128), (90, 101)]  # of the images; the input is padded to the first
    images = [make_image(n, size, generator) for n, size in zip(counts, sizes, strict=True)]
    points = GENERATOR.generate([(12, 16), (6, 8), (3, 4)], torch.device("cpu"))
    targets = assign_point_targets(
        GENERATOR, points, *zip(*images, strict=True), num_classes=NUM_CLASSES, pos_radius=radius
    )
    first = 0
    for i, (count, image) in enumerate(zip(counts, images, strict=True)):
        labels, owners, distances = naive(GENERATOR, points, *image, radius)
        assert torch.equal(targets.labels[i], labels)
        assert torch.equal(targets.owner[i], torch.where(owners >= 0, owners + first, -1))
        torch.testing.assert_close(targets.distances[i], distances)
        assert (owners >= 0).sum() <= targets.max_positives
        first += count
    assert targets.max_instances == max(counts)
    assert (targets.max_positives == 0) == (max(counts) == 0)


def test_of_equal_boxes_the_first_wins():
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0]] * 2)
    masks = torch.zeros(2, 48, 48, dtype=torch.bool)
    masks[:, 8:40, 8:40] = True
    points = GENERATOR.generate([(6, 6), (3, 3), (2, 2)], torch.device("cpu"))
    targets = assign_point_targets(
        GENERATOR, points, [boxes], [torch.tensor([2, 1])], [masks], num_classes=NUM_CLASSES, pos_radius=1.5
    )
    assert set(targets.owner.unique().tolist()) == {-1, 0}
    assert set(targets.labels.unique().tolist()) == {2, NUM_CLASSES}
