"""A config's image conventions and key names, as the checkpointer gets them."""

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.engine.weights import build_checkpointer, preprocessing_of
from solo_d2.utils.errors import InputError


def test_preprocessing():
    cfg = get_cfg()
    cfg.INPUT.FORMAT = "RGB"
    cfg.MODEL.PIXEL_STD = [58.0, 57.0, 56.0]
    found = preprocessing_of(cfg)
    assert found.channels == "RGB" and found.std == (58.0, 57.0, 56.0) and found.stride_in_1x1 is True
    assert (found.short_side, found.long_side) == (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    cfg.MODEL.RESNETS.DEPTH = 18
    assert preprocessing_of(cfg).stride_in_1x1 is None


@pytest.mark.parametrize(("method", "group"), [("SOLOv2", "MODEL.SOLOV2"), ("DecoupledSOLO", "MODEL.SOLO")])
def test_messages_name_the_methods_own_keys(tmp_path, method, group):
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = method
    head = torch.nn.ModuleDict({"category_predictor": torch.nn.Linear(2, 3)})
    model = torch.nn.ModuleDict({"head": head})
    weights = {
        "head.category_predictor.weight": torch.zeros(80, 2),
        "head.category_predictor.bias": torch.zeros(80),
    }
    torch.save({"model": weights}, tmp_path / "m.pth")
    with pytest.raises(InputError, match=f"change {group}.NUM_CLASSES"):
        build_checkpointer(cfg, model, exact=True).load(str(tmp_path / "m.pth"))
    build_checkpointer(cfg, model, str(tmp_path)).load(str(tmp_path / "m.pth"))
