"""SOLOv2's options: kernel shapes, coordinates, unified and separate mask features."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from solo_d2.config import get_cfg
from solo_d2.methods.grid.cell_masks import LevelMasks, UnifiedMasks
from solo_d2.methods.solov2.head import MaskFeatureHead, SeparateMaskFeatures
from solo_d2.utils.errors import InputError

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "quick" / "solov2_tiny.yaml"


def build(*options):
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIG))
    cfg.merge_from_list([x if i % 2 else f"MODEL.SOLOV2.{x}" for i, x in enumerate(options)])
    torch.manual_seed(0)
    return build_model(cfg)


@pytest.mark.parametrize("kernel_size, num_masks", [(3, 64), (1, 64), (1, 128), (1, 256), (1, 512)])
def test_kernel_shape(kernel_size, num_masks):
    model = build("KERNEL_SIZE", kernel_size, "NUM_MASKS", num_masks).eval()
    features = model.backbone(torch.randn(1, 3, 64, 96))
    _, masks = model.predict(features)
    assert masks.kernels.shape == (1, model.layout.num_cells, num_masks * kernel_size**2)
    assert masks.feature.shape == (1, num_masks, 16, 24)
    assert masks.soft(0, torch.tensor([0, 5])).shape == (2, 16, 24)


def test_relative_coordinates():
    model = build("RELATIVE_COORDINATES", True).eval()
    features = model.backbone(torch.randn(1, 3, 64, 96))
    _, masks = model.predict(features)
    kernels = model.head([features[f] for f in model.instance_in_features])[1]
    numbers = torch.cat([level.flatten(2) for level in kernels], dim=2).mT
    assert torch.equal(torch.cat([masks.kernels, masks.places.weights], dim=2), numbers)
    plain = replace(masks, places=None)
    assert not torch.equal(masks.soft(0, torch.tensor([3])), plain.soft(0, torch.tensor([3])))


def test_relative_coordinates_need_the_unified_feature():
    with pytest.raises(InputError, match="RELATIVE_COORDINATES needs MODEL.SOLOV2.MASK_FEATURE 'unified'"):
        build("RELATIVE_COORDINATES", True, "MASK_FEATURE", "separate")


@pytest.mark.parametrize("kernel", [False, True])
@pytest.mark.parametrize("feature", [False, True])
def test_coordinates(kernel, feature):
    model = build("KERNEL_COORDINATES", kernel, "MASK_COORDINATES", feature)
    assert model.head.kernel_tower[0].weight.shape[1] == 64 + 2 * kernel
    assert model.mask_head.branches[-1].convs[0].weight.shape[1] == 64 + 2 * feature


def test_mask_feature_is_unified_or_separate():
    unified, separate = build(), build("MASK_FEATURE", "separate", "MASK_CHANNELS", 64).eval()
    assert isinstance(unified.mask_head, MaskFeatureHead)
    assert isinstance(separate.mask_head, SeparateMaskFeatures) and len(separate.mask_head.tower) == 7
    images = torch.randn(2, 3, 64, 96)
    _, masks = unified.predict(unified.backbone(images))
    assert isinstance(masks, UnifiedMasks)
    with torch.no_grad():
        features = separate.backbone(images)
        _, masks = separate.predict(features)
        assert isinstance(masks, LevelMasks) and masks.strides == [4, 4, 4]
        own = separate.mask_head([features[f] for f in separate.mask_in_features])
        kernels = separate.head([features[f] for f in separate.instance_in_features])[1]
        cell = separate.layout.offsets[1] + 17
        kernel = kernels[1].flatten(2)[1, :, 17]
        direct = torch.einsum("e,ehw->hw", kernel, own[1][1]).sigmoid()
        torch.testing.assert_close(masks.soft(1, torch.tensor([cell]))[0], direct, atol=1e-5, rtol=1e-4)


def test_even_kernels_are_refused():
    with pytest.raises(InputError, match="KERNEL_SIZE must be odd"):
        build("KERNEL_SIZE", 2)


def test_unknown_mask_feature_is_named():
    with pytest.raises(InputError, match="'unified' or 'separate', not 'shared'"):
        build("MASK_FEATURE", "shared")


def test_withheld_masks_train_the_category_branch_only():
    ground_truth = Instances((64, 64))
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, 4:24, 4:24] = masks[1, 30:60, 20:60] = True
    ground_truth.gt_masks = BitMasks(masks)
    ground_truth.gt_boxes = Boxes(torch.tensor([[4.0, 4.0, 24.0, 24.0], [20.0, 30.0, 60.0, 60.0]]))
    ground_truth.gt_classes = torch.tensor([0, 3])
    model = build().train()
    batch = [{"image": torch.rand(3, 64, 64) * 255, "instances": ground_truth}]
    full = model(batch)
    losses = []
    for has_mask in ([False, True], [True, False], [False, False]):
        ground_truth.gt_has_mask = torch.tensor(has_mask)
        losses.append(model(batch))
        torch.testing.assert_close(losses[-1]["loss_category"], full["loss_category"])
    assert losses[2]["loss_mask"] == 0
    low, high = sorted(float(loss["loss_mask"]) for loss in losses[:2])
    assert 0 < low < float(full["loss_mask"]) < high, "a mean of both"
