"""FreeSOLO's keys equal the defaults of the code that takes them, and the paper's numbers."""

import inspect
from dataclasses import fields

from solo_d2.config import get_cfg
from solo_d2.losses import WeakMaskLoss
from solo_d2.modeling.meta_arch import FreeSOLO

NAMES = {"color_thr": "PAIRWISE_COLOR_THR", "warmup_iters": "PAIRWISE_WARMUP_ITERS"}


def test_defaults_agree():
    node = get_cfg().MODEL.FREESOLO
    for field in fields(WeakMaskLoss):
        assert getattr(node, field.name.upper()) == field.default
    arguments = inspect.signature(FreeSOLO.__init__).parameters
    for name in ("full_mask_loss", "embedding_weight", "bottom_pixels_removed", *NAMES):
        assert getattr(node, NAMES.get(name, name.upper())) == arguments[name].default


def test_the_papers_weights():
    node = get_cfg().MODEL.FREESOLO
    assert (node.AVERAGE_PROJECTION_WEIGHT, node.EMBEDDING_WEIGHT) == (0.1, 4.0)  # alpha and beta
