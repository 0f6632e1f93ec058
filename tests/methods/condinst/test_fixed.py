"""CondInst by operations of fixed shapes; tests/export compares whole results with the eager model's."""

import pytest
import torch

from detectron2.modeling import build_model
from solo_d2.config.loading import load_config
from solo_d2.methods.condinst.fixed import FixedCondInstInference
from solo_d2.ops import box_nms


def build(*opts):
    return build_model(load_config("quick/condinst_tiny", ["MODEL.DEVICE", "cpu", *opts])).eval()


def overlapping_boxes(count):
    corner = torch.rand(2, count, 2) * 60
    boxes = torch.cat([corner, corner + 30 + torch.rand(2, count, 2) * 30], dim=2)
    # A chain: each box suppresses its neighbor alone.
    boxes[1] = torch.tensor([0.0, 0.0, 40.0, 40.0]) + 9 * torch.arange(count)[:, None] * torch.tensor(
        [1, 0, 1, 0]
    )
    return boxes


def test_box_nms_is_the_operators():
    fixed = FixedCondInstInference(build(), 60)
    boxes = overlapping_boxes(60)
    classes = torch.randint(0, 2, (2, 60))
    classes[1] = 0
    valid = torch.rand(2, 60) > 0.1
    valid[1] = True
    _, kept = fixed._suppress_boxes(boxes, classes, valid, torch.tensor([[1000, 1000]] * 2))
    for i in range(2):
        order = valid[i].nonzero().squeeze(1)
        wanted = order[box_nms(boxes[i, order], classes[i, order], fixed.model.postprocess.nms_th)]
        assert kept[i].nonzero().squeeze(1).tolist() == wanted.tolist()
    assert kept[1].tolist() == [True, False] * 30


def test_boxes_outside_the_image_are_dropped():
    fixed = FixedCondInstInference(build("MODEL.FCOS.CLIP_BEFORE_NMS", "True"), 3)
    boxes = torch.tensor([[[-5.0, 0, 20, 20], [70, 0, 90, 20], [0, 0, float("inf"), 9]]])
    clipped, kept = fixed._suppress_boxes(
        boxes, torch.tensor([[0, 0, 1]]), torch.ones(1, 3, dtype=torch.bool), torch.tensor([[30, 60]])
    )
    assert kept.tolist() == [[True, False, True]]
    assert clipped[0, 0].tolist() == [0, 0, 20, 20] and clipped[0, 2].tolist() == [0, 0, 60, 9]


@pytest.mark.parametrize("nms_type", ["box", "matrix"])
@torch.no_grad()
def test_scores_are_the_eager_models(nms_type):
    model = build("MODEL.CONDINST.NMS_TYPE", nms_type)
    for part in (model.head.class_predictor, model.head.controller):
        torch.nn.init.normal_(part.weight, std=0.1)
    image = torch.rand(3, 64, 96) * 255
    found = FixedCondInstInference(model, 400)(image[None], torch.tensor([[64, 96]]))
    (wanted,) = model([{"image": image}])
    count = int(found["count"])
    assert count == len(wanted["instances"]) and count > 0
    torch.testing.assert_close(found["scores"][0, :count], wanted["instances"].scores, atol=1e-5, rtol=0)
    assert ("boxes" in found) == (nms_type == "box")
