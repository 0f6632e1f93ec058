"""Masks as runs against Detectron2's own mapper and dense masks: equal pixel by pixel, target by target."""

import sys

import numpy as np
import pytest
import torch
from fvcore.transforms.transform import CropTransform, PadTransform
from PIL import Image
from pycocotools import mask as coco_mask

from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.structures import BoxMode, Instances
from solo_d2.data.mappers import InstanceMapper
from solo_d2.data.mappers.annotation_masks import transform_masks
from solo_d2.methods.condinst.points import PointGenerator
from solo_d2.methods.condinst.targets import assign_point_targets, assign_semantic_targets, sample_masks
from solo_d2.methods.grid.layout import GridLayout
from solo_d2.methods.grid.targets import assign_grid_targets
from solo_d2.modeling.meta_architecture import ground_truth_masks
from solo_d2.structures import RunMasks
from solo_d2.structures.coco_masks import pack
from solo_d2.utils.errors import InputError

HEIGHT, WIDTH = 90, 300  # more columns than a byte counts


class _Slant(T.Transform):
    """Moves rows by different amounts, so that no column keeps together."""

    def apply_image(self, img):
        return np.stack([np.roll(row, index // 8, 0) for index, row in enumerate(img)])

    def apply_coords(self, coords):
        return coords


def _polygon(rng, center):
    angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 14)))
    points = center + np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(0.3, 40, 2)
    return points.round(rng.integers(0, 4)).ravel().tolist()


def _rle(rng, compressed):
    x, y, wide, high = rng.uniform(0, 1, 4) * (WIDTH, HEIGHT, WIDTH / 2, HEIGHT)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[int(y) : int(y + high), int(x) : int(x + wide)] = rng.random() < 0.9
    mask[rng.integers(HEIGHT, size=9), rng.integers(WIDTH, size=9)] = rng.random() < 0.5
    if compressed:
        return coco_mask.encode(mask)
    flat = mask.ravel(order="F")
    borders = np.flatnonzero(np.diff(flat, prepend=0, append=1 - flat[-1]))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(borders, prepend=0).tolist()}


def _annotation(rng, kind):
    center = rng.uniform((-60, -60), (WIDTH + 60, HEIGHT + 60))  # some are wholly outside
    if kind == "polygon":
        segmentation = [_polygon(rng, center) for _ in range(rng.integers(1, 4))]
    else:
        segmentation = _rle(rng, compressed=bool(rng.integers(2)))
    left, top = rng.uniform((-50, -50), (WIDTH, HEIGHT))
    return {
        "bbox": [left, top, *rng.uniform(1, 90, 2)],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": int(rng.integers(5)),
        "iscrowd": int(rng.random() < 0.1),
        "segmentation": segmentation,
    }


def _packed(annotation):
    """With compressed RLE; Detectron2's mapper takes no other."""
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        return annotation
    return {**annotation, "segmentation": pack(segmentation, *segmentation["size"])}


@pytest.fixture
def image_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


AUGMENTATIONS = {
    "as it is": [],
    "larger": [T.ResizeShortestEdge(133, 900)],
    "smaller, flipped": [T.ResizeShortestEdge(51, 900), T.RandomFlip(1.0)],
    "flipped twice": [T.RandomFlip(1.0, horizontal=False, vertical=True), T.RandomFlip(1.0)],
    "padded": [PadTransform(3, 4, 5, 6, orig_w=WIDTH, orig_h=HEIGHT)],
    "slanted": [_Slant()],
    "cropped": [
        T.RandomCrop("relative_range", (0.3, 0.3)),
        T.ResizeShortestEdge(64, 900),
        T.RandomFlip(1.0),
    ],
}


def _targets(instances: Instances):
    """All that the methods compute from ground truth, as one list of tensors."""
    sizes = [-(-side // 32) * 32 for side in instances.image_size]
    boxes, classes = [instances.gt_boxes.tensor], [instances.gt_classes]
    masks = [ground_truth_masks(instances)]
    layout = GridLayout.from_lists((8, 16), (12, 6), ((1, 64), (32, 999)))
    result = []
    for contours, share_cells in ((False, True), (True, False)):
        grid = assign_grid_targets(
            layout,
            boxes,
            classes,
            masks,
            (sizes[0] // 4, sizes[1] // 4),
            num_classes=5,
            sigma=0.4,
            mask_strides=(4, 8),
            share_cells=share_cells,
            contours=contours,
        )
        result += [grid.labels, grid.owner, grid.positive_cell, grid.positive_instance, *grid.masks.values()]
    generator = PointGenerator.from_lists((8, 16), (64,))
    points = generator.generate([(sizes[0] // s, sizes[1] // s) for s in (8, 16)], torch.device("cpu"))
    point = assign_point_targets(generator, points, boxes, classes, masks, num_classes=5, pos_radius=1.5)
    small = (sizes[0] // 4, sizes[1] // 4)
    semantic = assign_semantic_targets(classes, masks, small, stride=4, num_classes=5)
    return [*result, point.labels, point.owner, point.distances, semantic, sample_masks(masks[0], 4, small)]


@pytest.mark.parametrize("kinds", [["polygon"], ["rle"], ["polygon", "rle"]])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_samples_and_targets_are_those_of_detectron2s_dense_masks(image_file, name, kinds):
    if name == "cropped" and "polygon" in kinds:
        pytest.importorskip("shapely")
    arguments = {
        "augmentations": AUGMENTATIONS[name],
        "image_format": "BGR",
        "use_instance_mask": True,
        "instance_mask_format": "bitmask",
        "recompute_boxes": name == "cropped",
    }
    ours, theirs = InstanceMapper(True, **arguments), DatasetMapper(True, **arguments)
    for seed, count in enumerate((1, 5, 40)):
        rng = np.random.default_rng(seed)
        annotations = [_annotation(rng, kinds[i % len(kinds)]) for i in range(count)]
        annotations[0]["iscrowd"] = 0
        record = {"file_name": image_file, "height": HEIGHT, "width": WIDTH, "annotations": annotations}
        np.random.seed(seed)
        sample = ours(record)
        np.random.seed(seed)
        reference = theirs({**record, "annotations": [_packed(a) for a in annotations]})
        assert torch.equal(sample["image"], reference["image"])
        instances, dense = sample["instances"], reference["instances"]
        assert isinstance(instances.gt_masks, RunMasks) and not isinstance(dense.gt_masks, RunMasks)
        assert torch.equal(instances.gt_boxes.tensor, dense.gt_boxes.tensor)
        assert torch.equal(instances.gt_classes, dense.gt_classes)
        assert torch.equal(instances.gt_masks.tensor, dense.gt_masks.tensor)
        for result, expected in zip(_targets(instances), _targets(dense), strict=True):
            assert torch.equal(result, expected) and result.dtype == expected.dtype


def test_a_mask_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="neither polygons nor RLE"):
        transform_masks([[[0, 0, 1, 0, 1, 1]], "mask"], T.TransformList([]), (4, 5))


def test_rles_of_another_size_than_the_image_are_refused():
    rles = [{"size": [4, 6], "counts": [24]}] * 9
    with pytest.raises(AssertionError):
        transform_masks(rles, T.TransformList([]), (4, 5))
    with pytest.raises(AssertionError, match="The RLE mask is"):
        transform_masks(rles[:1], T.TransformList([]), (4, 5))


def test_crop_of_polygons_without_its_package(monkeypatch):
    for name in ("shapely", "shapely.geometry"):
        monkeypatch.setitem(sys.modules, name, None)
    crop = T.TransformList([CropTransform(2, 2, 8, 8)])
    with pytest.raises(InputError, match=r'need shapely[.\w]*: pip install "solo_d2\[crop\]"'):
        transform_masks([[[1.0, 1.0, 9.0, 1.0, 9.0, 9.0]]], crop, (8, 8))
