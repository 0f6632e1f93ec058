"""SOLO and Decoupled SOLO: what the config chooses, and every ablation of the papers."""

from pathlib import Path

import pytest
import torch

from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from solo_d2.config import get_cfg
from solo_d2.methods.solo.head import DecoupledSOLOHead, SOLOHead
from solo_d2.methods.solo.model import SOLO, DecoupledSOLO

QUICK = Path(__file__).resolve().parents[3] / "configs" / "quick"
ABLATIONS = [
    *(("solo_single_scale", "NUM_GRIDS", [s]) for s in (12, 24, 36)),
    *(("solo_coord_convs", "NUM_COORD_CONVS", n) for n in (0, 1, 2, 3)),
    *(("solo_alignment", "CATEGORY_ALIGN", a) for a in ("interpolate", "adaptive_max_pool", "region_grid")),
    *(("solo_mask_loss", "LOSS.MASK_LOSS", loss) for loss in ("dice", "bce", "focal")),
    *(("solo_head_depth", "NUM_INSTANCE_CONVS", n) for n in (4, 5, 6, 7, 8)),
]


def build(name, *options):
    cfg = get_cfg()
    cfg.merge_from_file(str(QUICK / f"{name}.yaml"))
    cfg.merge_from_list([x if i % 2 else f"MODEL.SOLO.{x}" for i, x in enumerate(options)])
    torch.manual_seed(0)
    return build_model(cfg)


def make_batch():
    instances = Instances((64, 96))
    masks = torch.zeros(2, 64, 96, dtype=torch.bool)
    masks[0, 8:40, 8:40] = masks[1, 30:60, 50:90] = True
    instances.gt_masks = BitMasks(masks)
    instances.gt_boxes = Boxes(torch.tensor([[8.0, 8, 40, 40], [50, 30, 90, 60]]))
    instances.gt_classes = torch.tensor([0, 3])
    return [{"image": torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8), "instances": instances}]


def test_architecture_and_light_choose_the_head():
    assert type(build("solo_tiny")) is SOLO and isinstance(build("solo_tiny").head, SOLOHead)
    full, light = build("decoupled_solo_tiny"), build("decoupled_solo_light_tiny")
    assert type(full) is type(light) is DecoupledSOLO
    assert isinstance(full.head, DecoupledSOLOHead) and hasattr(full.head, "mask_tower_x")
    assert hasattr(light.head, "mask_tower") and not hasattr(light.head, "mask_tower_x")


@pytest.mark.parametrize("name, key, value", ABLATIONS)
def test_every_ablation_trains_and_infers(name, key, value):
    model = build(f"ablations/{name}", key, value)
    losses = model(make_batch())
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    model.eval()
    with torch.no_grad():
        (result,) = model(make_batch())
    assert result["instances"].image_size == (64, 96)


def test_ablations_change_the_model():
    assert len(build("ablations/solo_head_depth", "NUM_INSTANCE_CONVS", 8).head.mask_tower) == 8
    assert build("ablations/solo_coord_convs", "NUM_COORD_CONVS", 3).head.mask_tower.num_coord_convs == 3
    assert build("ablations/solo_alignment").head.category_align == "region_grid"
    assert build("ablations/solo_mask_loss", "LOSS.MASK_LOSS", "bce").loss.mask_loss == "bce"
    single = build("ablations/solo_single_scale", "NUM_GRIDS", [36])
    assert single.layout.num_cells == 36**2 and single.postprocess.mask_stride == 4


@pytest.mark.parametrize("name", ["solo_tiny", "decoupled_solo_tiny", "decoupled_solo_light_tiny"])
def test_a_shared_cell_has_one_mask_when_training(name):
    model = build(name)
    batch = make_batch()
    instances = batch[0]["instances"]
    instances.gt_boxes.tensor[1] = instances.gt_boxes.tensor[0]
    instances.gt_masks.tensor[1] = instances.gt_masks.tensor[0]
    _, masks = model.predict(model.backbone(model.preprocess(batch).tensor))
    targets = model.assign_targets([instances], masks.size, masks.strides)
    assert len(targets.positive_cell) == len(targets.positive_cell.unique()) > 0
    assert targets.positive_instance.unique().tolist() == [1]


@pytest.mark.parametrize("name", ["solo_tiny", "decoupled_solo_tiny"])
def test_bf16_autocast_gives_float32_losses_and_finite_results(name):
    model = build(name, "SCORE_THR", 0.0, "UPDATE_THR", 0.0, "MASK_THR", 1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(make_batch())
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
        with torch.no_grad():
            instances = model.eval()(make_batch())[0]["instances"]
    assert 0 < len(instances) <= 100 and instances.scores.isfinite().all()
