import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from PIL import Image

import detectron2
from detectron2.data import Metadata
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, PolygonMasks
from detectron2.utils.visualizer import ColorMode, VisImage, Visualizer

IS_D2LITE = "d2lite" in detectron2.__version__
only_d2lite = pytest.mark.skipif(not IS_D2LITE, reason="about how d2lite draws")
H, W = 120, 160
SQUARE = [[40.0, 30.0, 100.0, 30.0, 100.0, 90.0, 40.0, 90.0]]
MASK = np.zeros((H, W), bool)
MASK[30:90, 40:100] = True


@pytest.fixture
def image():
    return np.full((H, W, 3), (90, 100, 110), np.uint8)


@pytest.fixture
def metadata():
    return Metadata().set(
        thing_classes=["cat", "dog"],
        thing_colors=[(255, 0, 0), (0, 0, 255)],
        stuff_classes=["sky", "grass"],
        stuff_colors=[(0, 0, 255), (0, 255, 0)],
    )


def instances(count, masks=True, boxes=True):
    predictions = Instances((H, W))
    predictions.scores = torch.linspace(0.9, 0.5, count)
    predictions.pred_classes = torch.arange(count) % 2
    if masks:
        predictions.pred_masks = torch.from_numpy(MASK).expand(count, H, W)
    if boxes:
        predictions.pred_boxes = Boxes(torch.tensor([[40.0, 30, 100, 90]]).expand(count, 4))
    return predictions


def changed(picture, image):
    return (picture != image).any(axis=2)


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize(("masks", "boxes"), [(True, True), (True, False), (False, True)])
def test_instances_are_drawn(image, metadata, scale, masks, boxes):
    before = image.copy()
    visualizer = Visualizer(image, metadata, scale=scale, instance_mode=ColorMode.IMAGE)
    output = visualizer.draw_instance_predictions(instances(2, masks, boxes))
    picture = output.get_image()
    assert isinstance(output, VisImage)
    assert picture.shape == (H * scale, W * scale, 3) and picture.dtype == np.uint8
    assert np.array_equal(image, before)
    if masks:
        assert (picture[int(60 * scale), int(70 * scale)] != image[60, 70]).any()


@pytest.mark.parametrize("masks", [True, False])
def test_no_instances_change_nothing(image, metadata, masks):
    picture = Visualizer(image, metadata).draw_instance_predictions(instances(0, masks)).get_image()
    assert np.array_equal(picture, image)


@only_d2lite
def test_without_classes_scores_and_metadata(image):
    predictions = Instances((H, W), pred_masks=torch.from_numpy(MASK)[None])
    assert changed(Visualizer(image).draw_instance_predictions(predictions).get_image(), image)[60, 70]


@only_d2lite
def test_empty_and_full_masks(image, metadata):
    predictions = instances(2, boxes=False)
    predictions.pred_masks = torch.stack([torch.zeros(H, W).bool(), torch.ones(H, W).bool()])
    picture = Visualizer(image, metadata).draw_instance_predictions(predictions).get_image()
    assert changed(picture, image)[5:, 5:].all()


@only_d2lite
@pytest.mark.parametrize(
    "masks",
    [
        [SQUARE],
        [MASK],
        MASK[None],
        torch.from_numpy(MASK)[None],
        BitMasks(torch.from_numpy(MASK)[None]),
        PolygonMasks([SQUARE]),
        [mask_util.encode(np.asfortranarray(MASK, dtype=np.uint8))],
        [{"size": [H, W], "counts": [40 * H + 30] + [60, 60] * 59 + [60, 60 * H - 90]}],
    ],
)
def test_every_form_of_mask_gives_one_picture(image, masks):
    expected = Visualizer(image).overlay_instances(masks=[MASK]).get_image()
    assert changed(expected, image)[60, 70] and not changed(expected, image)[10, 10]
    assert np.array_equal(Visualizer(image).overlay_instances(masks=masks).get_image(), expected)


@only_d2lite
def test_small_objects_are_drawn_over_large_ones(image):
    large = np.ones((H, W), bool)
    red, blue = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    for masks, colors in (([large, MASK], [red, blue]), ([MASK, large], [blue, red])):
        visualizer = Visualizer(image)
        picture = visualizer.overlay_instances(masks=masks, assigned_colors=colors, alpha=1.0).get_image()
        assert picture[60, 70].tolist() == [0, 0, 255] and picture[5, 5].tolist() == [255, 0, 0]


@only_d2lite
def test_counts_must_agree(image):
    with pytest.raises(AssertionError):
        Visualizer(image).overlay_instances(masks=[MASK], labels=["a", "b"])


@only_d2lite
def test_pictures_do_not_depend_on_chance(image, metadata):
    first, second = (
        Visualizer(image, metadata).draw_instance_predictions(instances(2)).get_image() for _ in range(2)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("crowd", [0, 1])
def test_dataset_dict(image, metadata, crowd):
    ann = {"bbox": [40, 30, 60, 60], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 1, "iscrowd": crowd}
    with_masks = Visualizer(image, metadata).draw_dataset_dict(
        {"annotations": [{**ann, "segmentation": SQUARE}]}
    )
    assert changed(with_masks.get_image(), image)[60, 70]
    boxes_only = Visualizer(image, metadata).draw_dataset_dict({"annotations": [ann]})
    assert not changed(boxes_only.get_image(), image)[60, 70]
    assert np.array_equal(Visualizer(image).draw_dataset_dict({}).get_image(), image)


def test_dataset_dict_with_a_label_map(image, metadata, tmp_path):
    path = str(tmp_path / "labels.png")
    Image.fromarray(np.where(MASK, 1, 255).astype(np.uint8)).save(path)
    picture = Visualizer(image, metadata).draw_dataset_dict({"sem_seg_file_name": path}).get_image()
    assert changed(picture, image)[85, 45] and not changed(picture, image)[10, 10]


def test_sem_seg(image, metadata):
    labels = torch.from_numpy(MASK.astype(np.int64))
    picture = Visualizer(image, metadata).draw_sem_seg(labels).get_image().astype(int)
    assert picture[110, 10, 2] > picture[110, 10, 1], "sky is blue"
    assert picture[85, 45, 1] > picture[85, 45, 2], "grass is green"
    ignored = Visualizer(image, metadata).draw_sem_seg(torch.full((H, W), 255)).get_image()
    assert np.array_equal(ignored, image)


@pytest.mark.parametrize("score", [{}, {"score": 0.5}])
def test_panoptic(image, metadata, score):
    ids = torch.from_numpy(np.where(MASK, 2, 1).astype(np.int32))
    ids[:10] = 0
    info = [
        {"id": 1, "isthing": False, "category_id": 0},
        {"id": 2, "isthing": True, "category_id": 0, **score},
    ]
    picture = Visualizer(image, metadata).draw_panoptic_seg(ids, info).get_image()
    seen = changed(picture, image)
    assert seen[85, 45] and seen[110, 10] and not seen[2, 150]
    again = Visualizer(image, metadata).draw_panoptic_seg_predictions(ids, info).get_image()
    assert again.shape == picture.shape


def test_panoptic_without_segments(image, metadata):
    ids = torch.zeros(H, W, dtype=torch.int32)
    assert np.array_equal(Visualizer(image, metadata).draw_panoptic_seg(ids, []).get_image(), image)


def test_saving(image, tmp_path):
    path = str(tmp_path / "picture.png")
    output = VisImage(image)
    output.save(path)
    assert np.asarray(Image.open(path)).shape[:2] == (H, W)
