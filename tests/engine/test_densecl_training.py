"""Pre-training through the same command line, loader, trainer and checkpoints as everything else."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import solo_d2  # noqa: F401  (registers the models)
from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.engine.run_config import build_cfg, build_parser
from solo_d2.engine.trainer import Trainer
from solo_d2.utils.errors import InputError

QUICK = Path(__file__).resolve().parents[2] / "configs" / "quick"
SMALL = (
    "INPUT.VIEWS.SIZE 32 INPUT.MIN_SIZE_TEST 32 SOLVER.IMS_PER_BATCH 4 SOLVER.MAX_ITER 4 "
    "DATALOADER.NUM_WORKERS 0 MODEL.DENSECL.HIDDEN_DIM 16 MODEL.DENSECL.FEAT_DIM 8 "
    "MODEL.DENSECL.QUEUE_SIZE 10 SEED 5"
).split()


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Three images each of two colors, a folder per class; the parent is a folder without labels."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index, name in enumerate(("red", "blue")):
        (root / name).mkdir()
        for number in range(3):
            pixels = rng.integers(0, 60, (40, 36 + 4 * number, 3), np.uint8)
            pixels[..., 2 * index] += 180
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture(autouse=True)
def forgotten_datasets():
    yield
    for name in ("custom_train", "custom_val"):
        for catalog in (DatasetCatalog, MetadataCatalog):
            if name in catalog:
                catalog.remove(name)


def make_cfg(out, *flags, options=()):
    flags = ["--config-file", QUICK / "densecl_tiny.yaml", *flags, *SMALL, "OUTPUT_DIR", out, *options]
    return build_cfg(build_parser().parse_args(list(map(str, flags))))


def make_trainer(cfg, resume=False):
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    return trainer


def test_resumed_training_is_the_same_to_the_last_bit(classes, tmp_path):
    flags = ("--train-unlabelled", classes)
    whole = make_trainer(make_cfg(tmp_path / "whole", *flags))
    assert whole.train() == {}
    half = make_trainer(make_cfg(tmp_path / "half", *flags, options=["SOLVER.CHECKPOINT_PERIOD", 2]))
    half.max_iter = 2  # stops there, with the schedule of four
    half.train()
    resumed = make_trainer(make_cfg(tmp_path / "half", *flags), resume=True)
    assert resumed.start_iter == 2
    resumed.train()
    ends = [trainer.bare_model.state_dict() for trainer in (whole, resumed)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert ends[0]["queue.cursor"] == 16 % 10
    rates = [group["lr"] for group in resumed.optimizer.param_groups]
    assert max(rates) < resumed.cfg.SOLVER.BASE_LR  # the cosine is nearly down


def test_a_loss_that_is_not_finite_leaves_both_views(classes, tmp_path):
    rate = ["SOLVER.BASE_LR", "1e30", "SOLVER.AMP.ENABLED", "False"]
    with pytest.raises(FloatingPointError, match="loss_global"):
        make_trainer(make_cfg(tmp_path, "--train-unlabelled", classes, options=rate)).train()
    (path,) = tmp_path.glob("nonfinite_iter_*.pth")
    dump = torch.load(path, weights_only=True)
    for name in ("images", "key_images"):
        assert [tuple(view.shape) for view in dump[name]] == [(3, 32, 32)] * 4


def test_watched_by_nearest_neighbors(classes, tmp_path):
    cfg = make_cfg(tmp_path, "--train-unlabelled", classes, "--val-classes", classes)
    results = make_trainer(cfg).train()
    assert set(results) == {"knn"} and 0 <= results["knn"]["top1"] <= 100


def test_data_that_says_nothing_of_it_is_left_out(tiny_files, tmp_path, caplog):
    data = ["--train-json", tiny_files.train.json, "--train-images", tiny_files.train.images]
    data += ["--val-json", tiny_files.val.json, "--val-images", tiny_files.val.images]
    with caplog.at_level(logging.WARNING, logger="solo_d2"):
        cfg = make_cfg(tmp_path, *data)
    assert cfg.DATASETS.TEST == () and cfg.DATASETS.TRAIN == ("custom_train",)
    assert "annotations" not in make_trainer(cfg).data_loader._records[0]


def test_mistakes(classes, tiny_files, tmp_path):
    data = ["--train-json", tiny_files.train.json, "--train-images", tiny_files.train.images]
    with pytest.raises(InputError, match="--train-unlabelled or --train-json, not both"):
        make_cfg(tmp_path, "--train-unlabelled", classes, *data)
    flags = ["--config-file", QUICK / "solov2_tiny.yaml", "--train-unlabelled", classes]
    with pytest.raises(InputError, match="SOLOv2 learns from labels"):
        build_cfg(build_parser().parse_args([*map(str, flags), "OUTPUT_DIR", str(tmp_path)]))
    flags = ["--config-file", QUICK / "solov2_tiny.yaml", *data, "--val-classes", classes]
    with pytest.raises(InputError, match="SOLOv2 is not measured by it"):
        build_cfg(build_parser().parse_args([*map(str, flags), "OUTPUT_DIR", str(tmp_path)]))
