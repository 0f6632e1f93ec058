"""A tiny model with random weights, and pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.modeling import build_model
from solo_d2.config import get_cfg
from solo_d2.config.loading import load_config

ROOT = Path(__file__).resolve().parents[3]
TINY_CONFIG = ROOT / "configs" / "quick" / "solov2_tiny.yaml"
# A random model's scores are close to MODEL.SOLOV2.PRIOR_PROB; these thresholds let some pass.
TINY_OPTIONS = [
    "MODEL.DEVICE",
    "cpu",
    "MODEL.SOLOV2.NUM_CLASSES",
    "5",
    "INPUT.MIN_SIZE_TEST",
    "64",
    "MODEL.SOLOV2.SCORE_THR",
    "0.0",
    "MODEL.SOLOV2.UPDATE_THR",
    "0.0",
    "MODEL.SOLOV2.MASK_THR",
    "0.4",
    "MODEL.SOLOV2.NMS_PRE",
    "20",
    "MODEL.SOLOV2.MAX_PER_IMG",
    "5",
    "DATASETS.TEST",
    "('scenes_val',)",
]


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """Random weights of a tiny SOLOv2 with five classes."""
    torch.manual_seed(0)
    cfg = get_cfg()
    cfg.merge_from_file(str(TINY_CONFIG))
    cfg.merge_from_list(TINY_OPTIONS)
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save({"model": build_model(cfg).state_dict()}, path)
    return path


@pytest.fixture
def model_options(tiny_weights):
    """The values of ``--opts``."""
    return [*TINY_OPTIONS, "MODEL.WEIGHTS", str(tiny_weights)]


@pytest.fixture
def make_job(model_options):
    """``make_job(options)`` is a job with the tiny model and further config overrides."""
    from solo_d2.commands.predict.pictures import Job

    def make(options=(), score_threshold=0.0, batch_size=2):
        cfg = load_config(TINY_CONFIG, [*model_options, *options])
        return Job(cfg, score_threshold, batch_size)

    return make


@pytest.fixture
def make_pictures(tmp_path):
    """``make_pictures(names)`` writes small noisy pictures below ``tmp_path/in``."""

    def make(*names: str) -> Path:
        folder = tmp_path / "in"
        generator = np.random.default_rng(0)
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 255, (48, 64, 3), np.uint8)).save(path)
        return folder

    return make
