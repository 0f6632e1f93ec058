"""The predictions that become labels, against a loop."""

import pytest
import torch

from detectron2.structures import Boxes, Instances
from solo_d2.pseudo_labels import ConfidentPredictions


def make_predictions(scores, widths, image_width=100):
    found = Instances((50, image_width))
    found.scores = torch.tensor(scores, dtype=torch.float32)
    boxes = [[1.0, 1.0, 1.0 + width, 5.0] for width in widths]
    found.pred_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
    found.number = torch.arange(len(scores))
    return found


def reference(found, update_thr, max_per_img, max_box_width):
    ranked = sorted(range(len(found)), key=lambda i: -found.scores[i].item())[:max_per_img]
    kept = []
    for i in ranked:
        x0, _, x1, _ = found.pred_boxes.tensor[i].tolist()
        if found.scores[i] >= update_thr and 0 < x1 - x0 < max_box_width * found.image_size[1]:
            kept.append(i)
    return kept


@pytest.mark.parametrize("limits", [(0.3, 20, 0.95), (0.5, 2, 0.5), (0.0, 1, 2.0), (2.0, 20, 0.95)])
def test_equals_loop(limits):
    found = make_predictions([0.3, 0.9, 0.1, 0.6, 0.6, 0.29], [94.0, 95.0, 10.0, 49.0, 20.0, 3.0])
    assert ConfidentPredictions(*limits)(found).number.tolist() == reference(found, *limits)


def test_an_empty_mask_is_no_label():
    assert len(ConfidentPredictions(0.3, 20, 0.95)(make_predictions([0.9], [0.0]))) == 0


def test_no_prediction():
    assert len(ConfidentPredictions(0.3, 20, 0.95)(make_predictions([], []))) == 0
