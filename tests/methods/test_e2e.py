"""Every config: build the model, train two steps, infer; on empty, partly empty and ordinary batches.

Configs whose models differ in nothing but the initial weights, or in having more of the same blocks than a
ResNet-50, are one case.
"""

from pathlib import Path

import pytest
import torch

import solo_d2  # noqa: F401  (registers the models)
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from solo_d2.config import get_cfg
from solo_d2.engine.dataset_checks import meta_architecture, method_node

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
# The heads' cost is that of their cells; fewer of them keep this test to seconds for each config.
SMALL_GRIDS = [8, 7, 5, 4, 3]
SIZES = [(64, 96), (57, 75)]
BATCHES = {"empty": [0, 0], "partly empty": [0, 2], "ordinary": [3, 1]}


def load(path: Path) -> CfgNode:
    cfg = get_cfg()
    cfg.merge_from_file(str(path))
    cfg.MODEL.RESNETS.DEPTH = min(cfg.MODEL.RESNETS.DEPTH, 50)
    return cfg


def different_models() -> list[Path]:
    """One config for each different MODEL node; tests/model_zoo runs the published models."""
    found = {}
    for path in sorted(CONFIGS.rglob("*.yaml")):
        if path.name.startswith("Base-") or "zoo" in path.relative_to(CONFIGS).parts:
            continue
        cfg = load(path)
        # What learns instances has classes: pre-training and Free Mask have tests of their own.
        if "NUM_CLASSES" in method_node(cfg):
            cfg.MODEL.WEIGHTS = ""
            if meta_architecture(cfg).train_mapper is None:
                found.setdefault(cfg.MODEL.dump(), path)
    return list(found.values())


def make_instances(size: tuple[int, int], count: int, num_classes: int) -> Instances:
    """Rectangles of different sizes; without any, no masks, as Detectron2's mapper leaves it."""
    instances = Instances(size)
    masks = torch.zeros(count, *size, dtype=torch.bool)
    boxes = torch.zeros(count, 4)
    for i in range(count):
        x0, y0, x1, y1 = 4 * i, 6 * i, min(30 + 20 * i, size[1]), min(20 + 15 * i, size[0])
        masks[i, y0:y1, x0:x1] = True
        boxes[i] = torch.tensor([x0, y0, x1, y1])
    instances.gt_boxes = Boxes(boxes)
    instances.gt_classes = torch.arange(count) % num_classes
    if count:
        instances.gt_masks = BitMasks(masks)
    return instances


def make_batch(counts: list[int], num_classes: int) -> list[dict]:
    """Of two images; with semantic labels, which models without a semantic branch do not look at."""
    generator = torch.Generator().manual_seed(sum(counts))
    return [
        {
            "image": torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator),
            "instances": make_instances(size, count, num_classes),
            "sem_seg": torch.randint(0, 3, size, generator=generator) if count else torch.full(size, 255),
            "height": 2 * size[0],
            "width": 2 * size[1],
        }
        for size, count in zip(SIZES, counts, strict=True)
    ]


@pytest.mark.parametrize("path", different_models(), ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_config_trains_and_infers(path):
    cfg = load(path)
    cfg.MODEL.DEVICE = "cpu"
    node = method_node(cfg)
    if "NUM_GRIDS" in node:
        node.NUM_GRIDS = SMALL_GRIDS[: len(node.NUM_GRIDS)]
    num_classes = node.NUM_CLASSES
    torch.manual_seed(0)
    model = build_model(cfg)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=1e-4)
    for name, counts in BATCHES.items():
        model.train()
        for _ in range(2):
            losses = model(make_batch(counts, num_classes))
            assert all(loss.isfinite() for loss in losses.values()), name
            assert losses["loss_category"] > 0
            mask_losses = [loss for key, loss in losses.items() if key.startswith("loss_mask")]
            assert (sum(mask_losses) > 0) == (name != "empty")
            if meta_architecture(cfg).is_panoptic:
                assert (losses["loss_sem_seg"] > 0) == (name != "empty")
            optimizer.zero_grad()
            sum(losses.values()).backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in trainable), name
            optimizer.step()
    model.eval()
    with torch.no_grad():
        results = model(make_batch([0, 0], num_classes))
    for result, size in zip(results, SIZES, strict=True):
        instances = result["instances"]
        assert instances.image_size == (2 * size[0], 2 * size[1])
        assert instances.pred_masks.dtype == torch.bool
        assert len(instances.pred_boxes) == len(instances.scores) == len(instances.pred_masks)
        assert ("panoptic_seg" in result) == meta_architecture(cfg).is_panoptic
        if meta_architecture(cfg).is_panoptic:
            ids, segments = result["panoptic_seg"]
            assert ids.shape == result["sem_seg"].shape[1:] == instances.image_size
            assert set(ids.unique().tolist()) - {0} == {segment["id"] for segment in segments}


def test_results_survive_autocast_and_a_nearly_full_grid():
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIGS / "quick" / "solov2_tiny.yaml"))
    cfg.MODEL.SOLOV2.SCORE_THR = 0.0
    cfg.MODEL.SOLOV2.UPDATE_THR = 0.0
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for result in model(make_batch([0, 0], 5)):
            assert 0 < len(result["instances"]) <= cfg.MODEL.SOLOV2.MAX_PER_IMG
            assert result["instances"].scores.isfinite().all()
