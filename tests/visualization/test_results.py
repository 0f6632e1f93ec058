"""Overlays: changed where the mask is, steady colors over frames."""

import numpy as np
import pytest
import torch

from detectron2.data import Metadata
from detectron2.structures import Boxes, Instances
from solo_d2.visualization.results import PARTS, FrameDrawer, choose_parts, draw_picture

SIZE = (320, 400)
METADATA = Metadata(thing_classes=["ball"])


def one_instance(left: int) -> dict:
    found = Instances(SIZE)
    found.pred_masks = torch.zeros(1, *SIZE, dtype=torch.bool)
    found.pred_masks[0, 40:90, left : left + 50] = True
    found.pred_boxes = Boxes(torch.tensor([[left, 40.0, left + 50.0, 90.0]]))
    found.scores = torch.tensor([0.9])
    found.pred_classes = torch.tensor([0])
    return {"instances": found}


def test_picture_changes_under_the_mask_only():
    picture = np.full((*SIZE, 3), 128, np.uint8)
    drawn = draw_picture(picture, one_instance(50), METADATA)
    assert drawn.shape == picture.shape and drawn.dtype == np.uint8
    assert np.array_equal(picture, np.full_like(picture, 128)), "the input is left alone"
    inside = np.abs(drawn[60:85, 60:95].astype(int) - 128).mean()
    assert inside > 8
    assert np.array_equal(drawn[110:], picture[110:]) and np.array_equal(drawn[:, :20], picture[:, :20])


def test_small_picture_is_enlarged():
    picture = np.full((100, 150, 3), 128, np.uint8)
    empty = Instances((100, 150))
    empty.pred_masks = torch.zeros(0, 100, 150, dtype=torch.bool)
    empty.pred_boxes = Boxes(torch.zeros(0, 4))
    empty.scores, empty.pred_classes = torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    assert draw_picture(picture, {"instances": empty}, METADATA).shape == (400, 600, 3)


def test_strips_are_enlarged_by_the_longer_side():
    empty = Instances((2, 3000))
    empty.pred_boxes, empty.scores = Boxes(torch.zeros(0, 4)), torch.zeros(0)
    empty.pred_classes = torch.zeros(0, dtype=torch.int64)
    strip = np.full((2, 3000, 3), 128, np.uint8)
    assert draw_picture(strip, {"instances": empty}, METADATA).shape == (2, 3000, 3)


def test_picture_without_instances_or_names():
    picture = np.full((*SIZE, 3), 128, np.uint8)
    empty = {"instances": one_instance(0)["instances"][torch.zeros(1, dtype=torch.bool)]}
    assert np.array_equal(draw_picture(picture, empty, METADATA), picture)
    assert draw_picture(picture, one_instance(50), Metadata()).shape == picture.shape


def test_object_keeps_its_color_over_frames():
    frame = np.full((*SIZE, 3), 128, np.uint8)
    draw = FrameDrawer(METADATA)
    inner = [draw(frame, one_instance(50 + 4 * i))[60:85, 70:90].reshape(-1, 3).mean(0) for i in range(3)]
    assert np.abs(inner[0] - 128).max() > 5
    assert np.abs(np.diff(inner, axis=0)).max() < 3


def test_frame_without_instances():
    frame = np.full((*SIZE, 3), (10, 100, 200), np.uint8)
    empty = {"instances": one_instance(0)["instances"][torch.zeros(1, dtype=torch.bool)]}
    assert np.abs(FrameDrawer(METADATA)(frame, empty).astype(int) - frame).max() <= 1


@pytest.mark.parametrize("parts", PARTS)
def test_parts_of_pictures_and_frames(parts):
    """The box's corner is drawn with boxes, the mask inside it with masks."""
    picture = np.full((*SIZE, 3), 128, np.uint8)
    result = one_instance(100)
    found = result["instances"]
    found.pred_boxes = Boxes(torch.tensor([[90.0, 100.0, 300.0, 250.0]]))
    found.pred_masks[:] = False
    found.pred_masks[0, 150:200, 150:250] = True
    for drawn in (
        draw_picture(picture, result, METADATA, parts),
        FrameDrawer(METADATA, parts)(picture, result),
    ):
        corner = drawn[240:256, 292:306].astype(int)
        assert (np.abs(corner - 128).max() > 20) == (parts != "masks")
        assert (np.abs(drawn[160:190, 170:230].astype(int) - 128).mean() > 8) == (parts != "boxes")
    assert found.has("pred_boxes") and found.has("pred_masks"), "the results are left alone"


def test_results_without_masks_can_be_drawn():
    picture = np.full((*SIZE, 3), 128, np.uint8)
    result = {"instances": choose_parts(one_instance(100)["instances"], "boxes")}
    assert not result["instances"].has("pred_masks")
    for drawn in (draw_picture(picture, result, METADATA), FrameDrawer(METADATA)(picture, result)):
        assert (drawn != 128).any()


def panoptic_result(left: int) -> dict:
    ids = torch.zeros(SIZE, dtype=torch.int32)
    ids[160:] = 2
    ids[40:90, left : left + 50] = 1
    segments = [
        {"id": 1, "isthing": True, "category_id": 0, "score": 0.9},
        {"id": 2, "isthing": False, "category_id": 1, "area": 160 * 400},
    ]
    return {"panoptic_seg": (ids, segments), **one_instance(left)}


PANOPTIC = Metadata(thing_classes=["ball"], stuff_classes=["things", "lawn"])


def test_panoptic_picture_shows_things_and_stuff():
    picture = np.full((*SIZE, 3), 128, np.uint8)
    drawn = draw_picture(picture, panoptic_result(50), PANOPTIC).astype(int)
    for inside in (drawn[60:85, 60:95], drawn[250:300, 20:80]):
        assert np.abs(inside - 128).mean() > 8
    assert np.abs(drawn[110:150] - 128).max() <= 1, "void is left alone"


def test_things_keep_their_color_over_panoptic_frames():
    frame = np.full((*SIZE, 3), 128, np.uint8)
    draw = FrameDrawer(PANOPTIC)
    drawn = [draw(frame, panoptic_result(50 + 4 * i)) for i in range(3)]
    inner = [image[44:58, 70:90].reshape(-1, 3).mean(0) for image in drawn]  # above its label
    assert np.abs(inner[0] - 128).max() > 5
    assert np.abs(np.diff(inner, axis=0)).max() < 3
    assert np.abs(drawn[0][250:300, 20:80].astype(int) - 128).mean() > 8
