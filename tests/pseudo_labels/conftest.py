"""A stand-in segmenter without weights, and images it finds something in."""

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.structures import Boxes, Instances
from solo_d2.inputs import to_array


class BrightSegmenter:
    """Finds the bright pixels; what it was asked is in ``batches``, a shape per image."""

    def __init__(self):
        self.batches = []

    def load(self, path):
        array = to_array(path, "RGB")
        image = torch.as_tensor(array.transpose(2, 0, 1).copy())
        return {"image": image, "height": array.shape[0], "width": array.shape[1]}

    def segment(self, inputs):
        self.batches.append([tuple(one["image"].shape) for one in inputs])
        return [{"instances": self.find(one)} for one in inputs]

    def find(self, one):
        mask = one["image"].float().mean(0) > 128
        found = Instances((one["height"], one["width"]))
        found.pred_masks = mask[None][: int(mask.any())]
        count = len(found.pred_masks)
        ys, xs = mask.nonzero(as_tuple=True)
        box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if count else [0, 0, 0, 0]
        found.pred_boxes = Boxes(torch.tensor([box], dtype=torch.float32)[:count])
        found.scores = torch.full((count,), 0.75)
        found.pred_classes = torch.zeros(count, dtype=torch.int64)
        found.pred_embeddings = torch.linspace(-1, 1, 128).expand(count, 128)
        return found


@pytest.fixture
def segmenter():
    return BrightSegmenter()


@pytest.fixture
def make_images(tmp_path):
    """``make_images(count)`` writes gray images with a bright rectangle; every third is upright, every
    fifth empty. Returns their folder."""

    def make(count, folder="images"):
        root = tmp_path / folder
        root.mkdir()
        for number in range(count):
            array = np.full((16, 24, 3), 40, np.uint8)
            if number % 5 != 4:
                array[2 : 6 + number % 8, 3:15] = 220
            array = array.transpose(1, 0, 2) if number % 3 == 2 else array
            Image.fromarray(array).save(root / f"{number:04d}.png")
        return root

    return make
