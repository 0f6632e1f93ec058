"""The SOLO family by operations of fixed shapes; tests/export compares whole results."""

import pytest
import torch

from detectron2.modeling import build_model
from solo_d2.config.loading import load_config
from solo_d2.methods.grid.fixed import FixedGridInference
from solo_d2.utils.errors import InputError


def build(name="solov2_tiny", *opts):
    model = build_model(load_config(f"quick/{name}", ["MODEL.DEVICE", "cpu", *opts])).eval()
    torch.nn.init.normal_(model.head.category_predictor.weight, std=0.1)
    return model


@pytest.mark.parametrize("name", ["solov2_tiny", "decoupled_solo_tiny"])
@torch.no_grad()
def test_scores_are_the_eager_models(name):
    model = build(name)
    for key, parameter in model.head.named_parameters():
        if key.startswith("predictors_") and key.endswith("bias"):
            parameter.fill_(1.0)  # masks have pixels
    image = torch.rand(3, 64, 96) * 255
    found = FixedGridInference(model, 500)(image[None])
    (wanted,) = model([{"image": image}])
    count = int(found["count"])
    assert count == len(wanted["instances"]) and count > 0
    torch.testing.assert_close(found["scores"][0, :count], wanted["instances"].scores, atol=1e-5, rtol=0)


def test_more_candidates_than_the_model_takes():
    model = build("solov2_tiny", "MODEL.SOLOV2.NMS_PRE", "30")
    assert FixedGridInference(model).num_candidates == 30
    with pytest.raises(InputError, match="31 candidates: give 1 to 30, which is the smaller of NMS_PRE"):
        FixedGridInference(model, 31)
