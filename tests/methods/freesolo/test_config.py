"""FreeSOLO's recipes, as bases and leaves together make them, are the published ones."""

from pathlib import Path

import pytest

from solo_d2.config import get_cfg

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "FreeSOLO"


@pytest.mark.parametrize(
    "name, rate, steps, iterations",
    [
        ("freesolo_R50_30k", 0.001, (), 30000),
        ("finetune_R50_images_20k", 0.01, (12000, 18000), 20000),
        ("finetune_R50_masks_90k", 0.01, (60000, 80000), 90000),
    ],
)
def test_published_recipes(name, rate, steps, iterations):
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIGS / f"{name}.yaml"))
    solver = cfg.SOLVER
    assert (solver.BASE_LR, tuple(solver.STEPS), solver.MAX_ITER) == (rate, steps, iterations)
    assert (solver.IMS_PER_BATCH, solver.WARMUP_ITERS, solver.WARMUP_FACTOR) == (16, 1000, 0.01)
    assert cfg.MODEL.BACKBONE.FREEZE_AT == 0
    assert (cfg.MODEL.RESNETS.NORM, cfg.MODEL.FPN.NORM, cfg.MODEL.SOLOV2.NORM) == ("FrozenBN", "", "GN")
    assert tuple(cfg.INPUT.MIN_SIZE_TRAIN) == (640, 672, 704, 736, 768, 800)
    pre_training = name == "freesolo_R50_30k"
    assert cfg.INPUT.COPY_PASTE.ENABLED == cfg.INPUT.STRONG_COLOR.ENABLED == pre_training
    assert cfg.TEST.CLASS_AGNOSTIC == pre_training
    assert cfg.MODEL.FRESH_WEIGHTS == ([] if pre_training else ["head.category_predictor"])
