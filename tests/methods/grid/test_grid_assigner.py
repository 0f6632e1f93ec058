"""Grid targets against a loop over instances, levels and cells, and the recorded official grids."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from solo_d2.methods.grid.layout import GridLayout
from solo_d2.methods.grid.targets import assign_grid_targets, trace_contours

LAYOUT = GridLayout.from_lists([8, 8, 16], [12, 8, 4], [(1, 24), (16, 60), (40, 512)])
assign = partial(assign_grid_targets, sigma=0.2, mask_strides=(4,), share_cells=True)
NUM_CLASSES = 5


def assign_by_loops(layout, boxes, classes, masks, feature_size, sigma=0.2):
    """Follows the text of the spec one instance, level and cell at a time."""
    height, width = feature_size[0] * 4, feature_size[1] * 4
    labels = np.full((len(boxes), layout.num_cells), NUM_CLASSES)
    positives = []
    first_instance = 0

    def cell_of(value, size, grid):
        return int(np.float32(np.float32(value) / np.float32(size)) / np.float32(1.0 / grid))

    for image, (image_boxes, image_classes, image_masks) in enumerate(
        zip(boxes, classes, masks, strict=True)
    ):
        for i, mask in enumerate(image_masks.numpy()):
            if not mask.any():
                continue
            x0, y0, x1, y1 = image_boxes[i].numpy()
            scale = np.sqrt(np.float32(x1 - x0) * np.float32(y1 - y0))
            rows, columns = np.nonzero(mask)
            cx = np.float32(columns.sum()) / np.float32(len(columns))
            cy = np.float32(rows.sum()) / np.float32(len(rows))
            half_w, half_h = np.float32(0.5 * sigma) * (x1 - x0), np.float32(0.5 * sigma) * (y1 - y0)
            for level, offset in zip(layout.levels, layout.offsets, strict=True):
                if not level.scale_range[0] <= scale <= level.scale_range[1]:
                    continue
                grid = level.num_grid
                column, row = cell_of(cx, width, grid), cell_of(cy, height, grid)
                top = max(0, cell_of(cy - half_h, height, grid), row - 1)
                bottom = min(grid - 1, cell_of(cy + half_h, height, grid), row + 1)
                left = max(0, cell_of(cx - half_w, width, grid), column - 1)
                right = min(grid - 1, cell_of(cx + half_w, width, grid), column + 1)
                for r in range(top, bottom + 1):
                    for c in range(left, right + 1):
                        cell = offset + r * grid + c
                        labels[image, cell] = image_classes[i]
                        positives.append((first_instance + i, image * layout.num_cells + cell))
        first_instance += len(image_boxes)
    return labels, positives


def random_ground_truth(counts, size, seed):
    """Ellipses of all sizes, some identical, some cut by the border, some empty."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    boxes, classes, masks = [], [], []
    for count in counts:
        image_masks, image_boxes = [], []
        for _ in range(count):
            cx, cy = rng.uniform(0, size[1]), rng.uniform(0, size[0])
            rx, ry = rng.uniform(1, 50, size=2)
            mask = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
            mask &= rng.uniform() > 0.1
            image_masks.append(mask)
            image_boxes.append([cx - rx, cy - ry, cx + rx, cy + ry])
        if count > 2:
            image_masks[2], image_boxes[2] = image_masks[1], image_boxes[1]
        boxes.append(torch.tensor(image_boxes, dtype=torch.float32).reshape(-1, 4))
        masks.append(torch.from_numpy(np.array(image_masks, dtype=bool).reshape(-1, *size)))
        classes.append(torch.from_numpy(rng.integers(0, NUM_CLASSES, count)))
    return boxes, classes, masks


@pytest.mark.parametrize("counts", [[0], [1], [0, 0], [0, 7], [7, 0], [25, 3, 12]])
@pytest.mark.parametrize("seed", range(3))
def test_equals_loops(counts, seed):
    size, feature_size = (90, 121), (24, 32)
    ground_truth = random_ground_truth(counts, size, seed)
    targets = assign(LAYOUT, *ground_truth, feature_size, num_classes=NUM_CLASSES)
    labels, positives = assign_by_loops(LAYOUT, *ground_truth, feature_size)
    assert np.array_equal(targets.labels.numpy(), labels)
    ours = zip(targets.positive_instance.tolist(), targets.positive_cell.tolist(), strict=True)
    assert list(ours) == positives
    assert targets.masks[4].shape == (sum(counts), *feature_size)
    owned = targets.owner >= 0
    classes = torch.cat(ground_truth[1])
    assert torch.equal(owned, targets.labels != NUM_CLASSES)
    assert torch.equal(classes[targets.owner[owned]], targets.labels[owned])


@pytest.mark.parametrize("share_cells", [True, False])
def test_withheld_masks_give_classes_but_no_positives(share_cells):
    ground_truth = random_ground_truth([4, 0, 5], (90, 121), seed=7)
    has_mask = torch.tensor([True, False, True, False, False, True, True, False, True])
    options = {"num_classes": NUM_CLASSES, "share_cells": share_cells}
    full = assign(LAYOUT, *ground_truth, (24, 32), **options)
    part = assign(LAYOUT, *ground_truth, (24, 32), **options, has_mask=has_mask)
    assert torch.equal(part.labels, full.labels) and torch.equal(part.owner, full.owner)
    taught = has_mask[full.positive_instance]
    assert 0 < taught.sum() < len(taught)
    assert torch.equal(part.positive_instance, full.positive_instance[taught])
    assert torch.equal(part.positive_cell, full.positive_cell[taught])


def test_contours_of_the_small_masks():
    ground_truth = random_ground_truth([4, 0, 3], (90, 121), seed=5)
    masks, contours = (
        assign(LAYOUT, *ground_truth, (24, 32), num_classes=NUM_CLASSES, contours=choice)
        for choice in (False, True)
    )
    assert torch.equal(contours.masks[4], trace_contours(masks.masks[4]))
    assert not torch.equal(contours.masks[4], masks.masks[4])
    assert torch.equal(contours.positive_cell, masks.positive_cell), "cells follow the filled mask"


def test_the_last_of_two_identical_instances_owns_the_cells_and_both_stay_positive():
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    mask[:, 8:24, 8:24] = True
    box = torch.tensor([[8.0, 8.0, 24.0, 24.0]] * 2)
    targets = assign(LAYOUT, [box], [torch.tensor([1, 3])], [mask], (8, 8), num_classes=NUM_CLASSES)
    cells = targets.positive_cell
    assert torch.equal(cells[targets.positive_instance == 0], cells[targets.positive_instance == 1])
    assert set(targets.labels.unique().tolist()) == {3, NUM_CLASSES}
    assert set(targets.owner.unique().tolist()) == {-1, 1}


def test_cells_that_are_not_shared_belong_to_the_last_instance():
    box = torch.tensor([[8.0, 8.0, 24.0, 24.0], [4.0, 4.0, 28.0, 28.0], [40.0, 40.0, 44.0, 44.0]])
    mask = torch.zeros(3, 64, 64, dtype=torch.bool)
    mask[0, 8:24, 8:24] = mask[1, 4:28, 4:28] = mask[2, 40:44, 40:44] = True
    arguments = (LAYOUT, [box[:1], box], [torch.tensor([2]), torch.tensor([0, 1, 3])], [mask[:1], mask])
    shared = assign(*arguments, (16, 16), num_classes=NUM_CLASSES)
    alone = assign(*arguments, (16, 16), num_classes=NUM_CLASSES, mask_strides=(4, 8, 16), share_cells=False)
    assert torch.equal(alone.labels, shared.labels)
    last = dict(zip(shared.positive_cell.tolist(), shared.positive_instance.tolist(), strict=True))
    assert len(last) < len(shared.positive_cell)
    assert dict(zip(alone.positive_cell.tolist(), alone.positive_instance.tolist(), strict=True)) == last
    assert alone.positive_cell.tolist() == sorted(last)
    assert {s: tuple(m.shape) for s, m in alone.masks.items()} == {
        4: (4, 16, 16),
        8: (4, 8, 8),
        16: (4, 4, 4),
    }
    assert alone.masks[8].sum((1, 2)).tolist() == [4, 4, 12, 0]


@pytest.mark.parametrize("side, num_levels", [(15, 1), (16, 2), (24, 2), (25, 1), (513, 0)])
def test_scale_bounds_are_inclusive(side, num_levels):
    mask = torch.ones(1, 32, 32, dtype=torch.bool)
    box = torch.tensor([[0.0, 0.0, side, side]])
    targets = assign(LAYOUT, [box], [torch.tensor([0])], [mask], (8, 8), num_classes=1)
    level = torch.bucketize(targets.positive_cell, torch.tensor(LAYOUT.offsets[1:]), right=True)
    assert len(level.unique()) == num_levels


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("size", ["800x1216", "750x1333", "1333x700", "427x640"])
def test_golden_official_grids(golden, size, version):
    recording = golden("targets_official")
    data = recording.load(size)
    head = json.loads((recording.folder / "config.json").read_text())["head"]
    layout = GridLayout.from_lists(head["strides"], head["num_grids"], head["scale_ranges"])
    strides = [s // 2 for s in head["strides"]] if version == "v1" else [4] * len(head["strides"])
    height, width = data["pad_shape"].tolist()
    targets = assign(
        layout,
        [data["boxes"]],
        [data["labels"]],
        [data["masks"]],
        (height // 4, width // 4),
        num_classes=80,
        mask_strides=sorted(set(strides)),
        share_cells=version == "v2",
    )
    for level, offset in enumerate(layout.offsets):
        labels = data[f"{version}/lvl{level}/labels"]
        ours = targets.labels[0, offset : offset + labels.numel()]
        assert torch.equal(ours.view_as(labels), labels)
        cell = targets.positive_cell - offset
        here = (cell >= 0) & (cell < labels.numel())
        assert torch.equal(cell[here], data[f"{version}/lvl{level}/pos_index"])
        masks = targets.masks[strides[level]][targets.positive_instance[here]]
        assert torch.equal(masks, data[f"{version}/lvl{level}/mask_targets"])
