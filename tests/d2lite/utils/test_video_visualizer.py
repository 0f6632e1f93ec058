import numpy as np
import pytest
import torch

import detectron2
from detectron2.data import Metadata
from detectron2.structures import Boxes, Instances
from detectron2.utils.video_visualizer import VideoVisualizer
from detectron2.utils.visualizer import ColorMode

H, W = 100, 150
FRAME = np.full((H, W, 3), 128, np.uint8)
METADATA = Metadata().set(thing_classes=["cat", "dog"], stuff_classes=["sky", "grass"])
only_d2lite = pytest.mark.skipif("d2lite" not in detectron2.__version__, reason="about how d2lite draws")


def squares(corners, classes=None, masks=True):
    boxes = torch.tensor([[x, y, x + 30.0, y + 30.0] for x, y in corners]).reshape(-1, 4)
    predictions = Instances((H, W), pred_boxes=Boxes(boxes))
    predictions.pred_classes = torch.tensor(classes or [0] * len(corners))
    predictions.scores = torch.ones(len(corners))
    if masks:
        predictions.pred_masks = torch.zeros(len(corners), H, W, dtype=torch.bool)
        for mask, (x, y) in zip(predictions.pred_masks, corners, strict=True):
            mask[y : y + 30, x : x + 30] = True
    return predictions


def color(output, corner):
    """Of the middle of a square, or of its box's right side."""
    x, y = corner
    return tuple(output.get_image()[y + 20, x + 20])


def edge_color(output, corner):
    x, y = corner
    return tuple(output.get_image()[y + 24, x + 30])


@only_d2lite
@pytest.mark.parametrize(("masks", "probe"), [(True, color), (False, edge_color)])
def test_colors_follow_moving_objects(masks, probe):
    video = VideoVisualizer(METADATA)
    a, b = (10, 40), (100, 40)
    first = video.draw_instance_predictions(FRAME, squares([a, b], masks=masks))
    colors = probe(first, a), probe(first, b)
    assert colors[0] != colors[1]
    for step in range(1, 8):
        a, b = (10 + 4 * step, 40), (100 - 4 * step, 40)
        if a[0] + 30 > b[0]:
            break
        output = video.draw_instance_predictions(FRAME, squares([b, a], masks=masks))
        assert (probe(output, a), probe(output, b)) == colors


@only_d2lite
def test_objects_are_remembered_for_some_frames_only():
    video, a = VideoVisualizer(METADATA), (10, 40)
    before = color(video.draw_instance_predictions(FRAME, squares([a])), a)
    for _ in range(3):
        video.draw_instance_predictions(FRAME, squares([]))
    assert color(video.draw_instance_predictions(FRAME, squares([a])), a) == before
    for _ in range(20):
        video.draw_instance_predictions(FRAME, squares([]))
    assert color(video.draw_instance_predictions(FRAME, squares([a])), a) != before


@only_d2lite
def test_another_class_or_frame_size_is_another_object():
    video, a = VideoVisualizer(METADATA), (10, 40)
    before = color(video.draw_instance_predictions(FRAME, squares([a], [0])), a)
    assert color(video.draw_instance_predictions(FRAME, squares([a], [1])), a) != before
    small = Instances((50, 60), pred_masks=torch.ones(1, 50, 60, dtype=torch.bool))
    small.pred_classes = torch.tensor([0])
    assert video.draw_instance_predictions(FRAME[:50, :60], small).get_image().shape == (50, 60, 3)


@pytest.mark.parametrize("corners", [[], [(10, 40)], [(10, 40), (100, 40)]])
def test_instances_are_drawn(corners):
    video = VideoVisualizer(METADATA, ColorMode.IMAGE)
    for _ in range(2):
        picture = video.draw_instance_predictions(FRAME, squares(corners)).get_image()
        assert picture.shape == FRAME.shape
        assert (picture != FRAME).any() == bool(corners)


def test_panoptic():
    labels = torch.zeros(H, W, dtype=torch.int64)
    labels[50:] = 1
    video = VideoVisualizer(METADATA)
    info = [{"id": 1, "isthing": False, "category_id": 1}, {"id": 2, "isthing": True, "category_id": 0}]
    ids = (labels + 1).to(torch.int32)
    pictures = [video.draw_panoptic_seg_predictions(FRAME, ids, info).get_image() for _ in range(2)]
    assert (pictures[0] != FRAME).any()
    if "d2lite" in detectron2.__version__:
        assert np.array_equal(*pictures), "constant colors"


def test_panoptic_without_segments():
    ids = torch.zeros(H, W, dtype=torch.int32)
    output = VideoVisualizer(METADATA).draw_panoptic_seg_predictions(FRAME, ids, [])
    assert np.array_equal(output.get_image(), FRAME)
