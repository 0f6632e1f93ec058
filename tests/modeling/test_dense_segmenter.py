"""Preprocessing and the training/inference template, with a head that only counts."""

import pytest
import torch
from torch import nn

from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from solo_d2.modeling.meta_architecture import DenseSegmenter, ground_truth_masks, has_mask


class Identity(nn.Module):
    size_divisibility = 32
    padding_constraints: dict = {}

    def forward(self, x):
        return {"p2": x}


class Recorder(DenseSegmenter):
    read_features = frozenset(["p2"])

    def losses(self, features, batched_inputs):
        counts = [len(x) for x in self.ground_truth(batched_inputs)]
        return {"loss": features["p2"].sum() * 0, "count": torch.tensor(counts)}

    def inference(self, features, image_sizes, output_sizes):
        self.seen = features["p2"], image_sizes, output_sizes
        return [Instances(size) for size in output_sizes]


def make_model():
    return Recorder(backbone=Identity(), pixel_mean=[1.0, 2.0, 3.0], pixel_std=[2.0, 2.0, 4.0])


def test_images_are_normalized_then_padded_with_zeros():
    model = make_model().eval()
    small, large = torch.full((3, 20, 33), 9, dtype=torch.uint8), torch.zeros(3, 40, 17)
    results = model([{"image": small, "height": 200, "width": 330}, {"image": large}])
    images, image_sizes, output_sizes = model.seen
    assert images.shape == (2, 3, 64, 64)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images[0, :, :20, :33].unique().tolist() == [1.5, 3.5, 4.0]
    assert not images[0, :, 20:].any() and not images[0, :, :, 33:].any()
    assert [tuple(size) for size in image_sizes] == [(20, 33), (40, 17)]
    assert [tuple(size) for size in output_sizes] == [(200, 330), (40, 17)]
    assert [r["instances"].image_size for r in results] == [(200, 330), (40, 17)]


def test_training_returns_losses():
    instances = Instances((8, 8))
    instances.gt_classes = torch.zeros(3, dtype=torch.int64)
    losses = make_model().train()([{"image": torch.zeros(3, 8, 8), "instances": instances}])
    assert losses["count"].tolist() == [3]


def make_instances(masks=None, count=0):
    instances = Instances((6, 8))
    instances.gt_classes = torch.zeros(count, dtype=torch.int64)
    instances.gt_boxes = Boxes(torch.zeros(count, 4))
    if masks is not None:
        instances.gt_masks = masks
    return instances


def test_ground_truth_without_masks_means_none():
    assert ground_truth_masks(make_instances()).shape == (0, 6, 8)


@pytest.mark.parametrize("as_polygons", [False, True])
def test_ground_truth_from_bit_masks_and_polygons(as_polygons):
    expected = torch.zeros(1, 6, 8, dtype=torch.bool)
    expected[0, 1:4, 2:7] = True
    polygon = [[2.0, 1.0, 7.0, 1.0, 7.0, 4.0, 2.0, 4.0]]
    masks = PolygonMasks([polygon]) if as_polygons else BitMasks(expected)
    assert torch.equal(ground_truth_masks(make_instances(masks, 1)), expected)


def test_has_mask_of_a_batch():
    images = [make_instances(count=2), make_instances(count=0), make_instances(count=1)]
    assert has_mask(images) is None
    images[0].gt_has_mask = torch.tensor([True, False])
    assert has_mask(images).tolist() == [True, False, True]


def test_levels_that_no_head_reads_get_a_gradient_of_zero():
    class Scaled(Identity):
        def __init__(self):
            super().__init__()
            self.factors = nn.ParameterDict({name: nn.Parameter(torch.ones(())) for name in ("p2", "p3")})

        def forward(self, x):
            return {name: factor * x for name, factor in self.factors.items()}

    model = Recorder(backbone=Scaled(), pixel_mean=[0.0] * 3, pixel_std=[1.0] * 3).train()
    losses = model([{"image": torch.ones(3, 8, 8), "instances": make_instances()}])
    assert set(losses) == {"loss", "count"}
    losses["loss"].backward()
    assert [factor.grad.item() for factor in model.backbone.factors.values()] == [0, 0]
