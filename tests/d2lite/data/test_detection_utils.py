from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from fvcore.transforms.transform import HFlipTransform, NoOpTransform
from PIL import Image

import detectron2
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, PolygonMasks

IS_D2LITE = "d2lite" in detectron2.__version__
GOLDEN = Path(__file__).resolve().parents[4] / "shared/golden/detectron2/polygons.npz"
SQUARE = [1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0]
MASK = np.zeros((8, 10), dtype=np.uint8)
MASK[1:5, 1:5] = 1


def uncompressed_rle(mask):
    flat = mask.flatten(order="F").astype(np.int8)
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": counts if flat[0] == 0 else [0, *counts]}


def annotation(segmentation=None, box=(1, 1, 4, 4), category=0):
    ann = {"bbox": list(box), "bbox_mode": BoxMode.XYWH_ABS, "category_id": category}
    return ann if segmentation is None else {**ann, "segmentation": segmentation}


@pytest.fixture
def photo(tmp_path):
    """A 3x2 picture, all pixels different."""
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return str(path), pixels


@pytest.mark.parametrize(("format", "channels"), [("RGB", [0, 1, 2]), ("BGR", [2, 1, 0])])
def test_read_image_formats(photo, format, channels):
    path, pixels = photo
    image = utils.read_image(path, format)
    assert np.array_equal(image, pixels[:, :, channels])


def test_read_image_gray(photo):
    path, pixels = photo
    image = utils.read_image(path, "L")
    assert np.array_equal(image[:, :, 0], np.asarray(Image.fromarray(pixels).convert("L")))
    assert np.array_equal(utils.read_image(path), pixels)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda x: np.rot90(x)),
    ],
)
def test_read_image_turns_it_upright(tmp_path, orientation, upright):
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / "turned.png")
    Image.fromarray(pixels).save(path, exif=exif)
    assert np.array_equal(utils.read_image(path, "RGB"), upright(pixels))


def test_image_size_is_checked_or_filled_in():
    image = np.zeros((4, 6, 3))
    filled = {}
    utils.check_image_size(filled, image)
    assert filled == {"width": 6, "height": 4}
    utils.check_image_size(filled, image)
    with pytest.raises(utils.SizeMismatchError, match="a.jpg"):
        utils.check_image_size({"width": 4, "height": 6, "file_name": "a.jpg"}, image)


def test_polygons_and_rle_agree_after_transforms():
    transforms = T.TransformList([T.ResizeTransform(8, 10, 16, 20), HFlipTransform(20)])
    polygon = utils.transform_instance_annotations(annotation([list(SQUARE)]), transforms, (16, 20))
    rle = mask_util.encode(np.asfortranarray(MASK))
    bitmask = utils.transform_instance_annotations(annotation(rle), transforms, (16, 20))
    for ann in (polygon, bitmask):
        np.testing.assert_allclose(ann["bbox"], [10, 2, 18, 10])
        assert ann["bbox_mode"] == BoxMode.XYXY_ABS
    assert isinstance(polygon["segmentation"], list)
    expected = transforms.apply_segmentation(MASK)
    assert np.array_equal(bitmask["segmentation"], expected)
    drawn = utils.annotations_to_instances([polygon], (16, 20), "bitmask").gt_masks.tensor[0]
    assert np.array_equal(drawn.numpy(), expected.astype(bool))


def test_boxes_are_clipped_to_the_image():
    ann = utils.transform_instance_annotations(annotation(box=(-3, 2, 30, 30)), [NoOpTransform()], (8, 10))
    np.testing.assert_allclose(ann["bbox"], [0, 2, 10, 8])


def test_unknown_segmentation_is_refused():
    with pytest.raises(ValueError, match="segmentation"):
        utils.transform_instance_annotations(annotation(MASK), NoOpTransform(), (8, 10))
    ann = annotation("mask")
    with pytest.raises(ValueError, match="segmentation"):
        utils.annotations_to_instances([ann], (8, 10), "bitmask")


@pytest.mark.parametrize("segmentation", [MASK, mask_util.encode(np.asfortranarray(MASK)), [SQUARE]])
def test_bitmasks_from_all_forms(segmentation):
    target = utils.annotations_to_instances([annotation(segmentation, category=3)], (8, 10), "bitmask")
    assert isinstance(target.gt_masks, BitMasks)
    assert np.array_equal(target.gt_masks.tensor[0].numpy(), MASK.astype(bool))
    assert target.gt_classes.tolist() == [3] and target.gt_classes.dtype == torch.int64
    assert target.gt_boxes.tensor.tolist() == [[1, 1, 5, 5]]


@pytest.mark.skipif(not IS_D2LITE, reason="Detectron2 decodes these only when it loads the JSON")
def test_uncompressed_rle():
    rle = uncompressed_rle(MASK)
    target = utils.annotations_to_instances([annotation(rle)], (8, 10), "bitmask")
    assert np.array_equal(target.gt_masks.tensor[0].numpy(), MASK.astype(bool))
    ann = utils.transform_instance_annotations(annotation(rle), NoOpTransform(), (8, 10))
    assert np.array_equal(ann["segmentation"], MASK)


def test_polygon_masks_need_polygons():
    target = utils.annotations_to_instances([annotation([SQUARE])], (8, 10))
    assert isinstance(target.gt_masks, PolygonMasks)
    with pytest.raises(ValueError, match="polygon"):
        utils.annotations_to_instances([annotation(MASK)], (8, 10), "polygon")


@pytest.mark.parametrize("mask_format", ["polygon", "bitmask"])
def test_no_annotations(mask_format):
    target = utils.annotations_to_instances([], (8, 10), mask_format)
    assert len(target) == 0 and target.gt_boxes.tensor.shape == (0, 4)
    assert len(utils.filter_empty_instances(target)) == 0


@pytest.mark.skipif(not GOLDEN.is_file(), reason="recorded data is not next to the repository")
def test_golden_polygons():
    with np.load(GOLDEN) as data:
        for i, expected in enumerate(data["masks"]):
            parts = [data[key] for key in sorted(data) if key.startswith(f"poly{i}_")]
            target = utils.annotations_to_instances([annotation(parts)], (64, 64), "bitmask")
            assert np.array_equal(target.gt_masks.tensor[0].numpy(), expected)


def test_filter_empty_instances():
    instances = Instances((8, 10))
    instances.gt_boxes = Boxes(torch.tensor([[0.0, 0, 2, 2], [1, 1, 1, 5], [0, 0, 3, 3]]))
    instances.gt_masks = BitMasks(torch.tensor([1, 1, 0]).bool()[:, None, None].expand(3, 8, 10))
    kept, mask = utils.filter_empty_instances(instances, return_mask=True)
    assert mask.tolist() == [True, False, False] and len(kept) == 1
    assert len(utils.filter_empty_instances(instances, by_mask=False)) == 2
    assert len(utils.filter_empty_instances(instances, by_box=False)) == 2
    assert len(utils.filter_empty_instances(instances, box_threshold=2.5)) == 0
    with pytest.raises(AssertionError):
        utils.filter_empty_instances(instances, by_box=False, by_mask=False)


def test_metadata_consistency():
    for name, classes in (("same_a", ["x"]), ("same_b", ["x"]), ("other", ["y"])):
        MetadataCatalog.get(name).thing_classes = classes
    utils.check_metadata_consistency("thing_classes", ["same_a", "same_b"])
    with pytest.raises(ValueError, match="thing_classes"):
        utils.check_metadata_consistency("thing_classes", ["same_a", "other"])


def test_build_augmentation():
    cfg = get_cfg()
    resize, flip = utils.build_augmentation(cfg, True)
    assert isinstance(resize, T.ResizeShortestEdge) and isinstance(flip, T.RandomFlip)
    (resize,) = utils.build_augmentation(cfg, False)
    assert resize.get_transform(np.zeros((480, 640, 3), np.uint8)).new_w == 1067
    cfg.INPUT.RANDOM_FLIP = "none"
    assert len(utils.build_augmentation(cfg, True)) == 1
