"""COCO results, label files of other tools, and crops."""

import json

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as mask_api

from detectron2.structures import Boxes, Instances
from solo_d2.results.formats import (
    coco_rows,
    cut_out,
    join_rings,
    labelme_content,
    trace,
    yolo_lines,
)


def make_instances(count: int) -> Instances:
    found = Instances((6, 8))
    found.pred_masks = torch.zeros(count, 6, 8, dtype=torch.bool)
    found.pred_masks[:, 1:3, 2:7] = True
    found.pred_boxes = Boxes(torch.tensor([[2.0, 1.0, 7.0, 3.0]] * count).reshape(-1, 4))
    found.scores = torch.linspace(0.9, 0.5, count)
    found.pred_classes = torch.arange(count)
    return found


def test_rows_are_coco_results():
    first, second = coco_rows(make_instances(2), 7, "sub/a.png", {0: 44})
    assert (first["image_id"], first["file_name"]) == (7, "sub/a.png")
    assert (first["category_id"], second["category_id"]) == (44, 2), "without metadata COCO counts from 1"
    assert first["bbox"] == [2.0, 1.0, 5.0, 2.0]
    assert first["score"] == pytest.approx(0.9)
    decoded = mask_api.decode(json.loads(json.dumps(first))["segmentation"])
    assert np.array_equal(decoded, make_instances(1).pred_masks[0].numpy())


def test_no_instances_no_rows():
    assert coco_rows(make_instances(0), 1, "a.png", {}) == []


def filled(rings, height, width):
    """Fills polygons as the readers of label files do."""
    canvas = np.zeros((height, width), np.uint8)
    for ring in rings:
        cv2.fillPoly(canvas, [np.asarray(ring).astype(np.int32)], 1)
    return canvas.astype(bool)


@pytest.mark.parametrize("seed", range(20))
def test_outlines_fill_to_the_mask(seed):
    """Holes aside."""
    generator = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(generator.normal(size=(40, 56)), (0, 0), 3)
    mask = noise > np.quantile(noise, 0.7)
    solid = filled(trace(mask), 40, 56)
    inside = mask.copy().astype(np.uint8)
    found, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert np.array_equal(solid, cv2.drawContours(inside, found, -1, 1, cv2.FILLED).astype(bool))
    rings = trace(mask)
    assert len(rings) > 1 and np.array_equal(filled([join_rings(rings)], 40, 56) & solid, solid)


@pytest.mark.parametrize(
    ("pixels", "area"), [([(3, 2)], 1), ([(3, 2), (4, 2)], 2), ([(3, 2), (4, 3), (5, 4)], 5)]
)
def test_the_smallest_masks_have_an_area(pixels, area):
    mask = np.zeros((6, 8), bool)
    for x, y in pixels:
        mask[y, x] = True
    (ring,) = trace(mask)
    assert len(ring) >= 4 and cv2.contourArea(ring.astype(np.float32)) == pytest.approx(area, rel=0.05)
    assert np.array_equal(filled([ring], 6, 8), mask) and trace(np.zeros((6, 8), bool)) == []


def boxes_only(count):
    found = make_instances(count)
    found.remove("pred_masks")
    return found


def test_yolo_lines():
    found = make_instances(2)
    found.pred_masks[0, 5, 0] = True  # a second part
    found.pred_masks[1] = False
    (line,) = yolo_lines(found)
    index, *numbers = line.split()
    points = np.array(numbers, float).reshape(-1, 2) * (8, 6)
    assert index == "0" and np.array_equal(
        filled([points], 6, 8) & found.pred_masks[0].numpy(), found.pred_masks[0]
    )
    assert yolo_lines(boxes_only(1)) == ["0 0.5625 0.333333 0.625 0.333333"]


def test_labelme_content():
    content = json.loads(json.dumps(labelme_content(make_instances(1), "x/a.png", ["cow"])))
    assert (content["imagePath"], content["imageHeight"], content["imageWidth"]) == ("x/a.png", 6, 8)
    (shape,) = content["shapes"]
    assert (shape["label"], shape["shape_type"]) == ("cow", "polygon")
    assert np.array_equal(filled([shape["points"]], 6, 8), make_instances(1).pred_masks[0])
    (shape,) = labelme_content(boxes_only(1), "a.png", ["cow"])["shapes"]
    assert (shape["shape_type"], shape["points"]) == ("rectangle", [[2.0, 1.0], [7.0, 3.0]])


def test_crops():
    picture = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    boxes = np.array([[2.0, 1.0, 7.0, 3.0], [-3.0, 4.5, 1.5, 90.0], [5.0, 5.0, 5.0, 5.0]])
    first, second, empty = cut_out(picture, boxes)
    assert np.array_equal(first, picture[1:3, 2:7]) and np.array_equal(second, picture[4:6, 0:2])
    assert empty.shape == (0, 0, 3)
    masks = np.zeros((3, 6, 8), bool)
    masks[0, 1, 2] = True
    assert np.count_nonzero(cut_out(picture, boxes, masks)[0].any(2)) == 1
