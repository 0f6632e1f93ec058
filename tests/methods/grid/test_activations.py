from pathlib import Path

import pytest
import torch
from torch import nn

from detectron2.modeling import build_model
from solo_d2.config import get_cfg
from solo_d2.methods.grid.activations import compute_activations
from solo_d2.utils.errors import InputError

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "quick" / "solov2_tiny.yaml"


@pytest.fixture(scope="module")
def model():
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIG))
    cfg.MODEL.SOLOV2.NUM_GRIDS = [6, 5, 3]
    torch.manual_seed(0)
    return build_model(cfg).eval()


@pytest.fixture(scope="module")
def seen(model):
    image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return compute_activations(model, {"image": image})


def test_padded_input_and_shapes(model, seen):
    activations, images = seen
    assert images.image_sizes == [(50, 70)] and tuple(images.tensor.shape[-2:]) == (64, 96)
    assert activations.scores.shape == (36 + 25 + 9, 5) and activations.kernels.shape == (70, 64)
    assert activations.mask_feature.shape == (64, 16, 24)
    assert not activations.scores.requires_grad


def test_masks_are_kernels_applied_to_the_mask_feature(seen):
    activations, _ = seen
    cells = activations.cells_of(1)
    assert cells.tolist() == list(range(36, 61))
    masks = activations.soft_masks(cells)
    for cell, mask in zip(cells[::7], masks[::7], strict=True):
        logits = sum(
            weight * channel
            for weight, channel in zip(activations.kernels[cell], activations.mask_feature, strict=True)
        )
        torch.testing.assert_close(mask, logits.sigmoid(), atol=1e-5, rtol=1e-5)


def test_busiest_level(seen):
    activations, _ = seen
    for level in range(3):
        activations.scores.zero_()
        activations.scores[activations.cells_of(level)[2], 1] = 0.9
        assert activations.busiest_level() == level


@pytest.mark.parametrize("name", ["solo_tiny", "decoupled_solo_tiny", "decoupled_solo_light_tiny"])
def test_models_without_a_shared_mask_feature(name):
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIG.with_name(f"{name}.yaml")))
    activations, _ = compute_activations(
        build_model(cfg).eval(), {"image": torch.zeros(3, 50, 70, dtype=torch.uint8)}
    )
    assert activations.mask_feature is None and activations.kernels is None
    masks = activations.soft_masks(activations.cells_of(1)[:7])
    assert masks.shape == (7, 16, 24) and (masks >= 0).all() and (masks <= 1).all()


def test_unknown_models_are_one_line():
    with pytest.raises(InputError, match="Linear has no grid to show: .*SOLOv2"):
        compute_activations(nn.Linear(1, 1), {})
