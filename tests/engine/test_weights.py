"""The checkpointer's settings from a config, and weights that fine-tuning re-initializes."""

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.engine.trainer import Trainer
from solo_d2.engine.weights import FreshWeights, build_checkpointer, preprocessing_of
from solo_d2.methods import DecoupledSOLO, SOLOv2
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


@pytest.mark.parametrize(("method", "group"), [(SOLOv2, "MODEL.SOLOV2"), (DecoupledSOLO, "MODEL.SOLO")])
def test_messages_name_the_methods_own_keys(tmp_path, method, group):
    class Model(method):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.head = torch.nn.ModuleDict({"category_predictor": torch.nn.Linear(2, 3)})

    cfg, model = get_cfg(), Model()
    weights = {
        "head.category_predictor.weight": torch.zeros(80, 2),
        "head.category_predictor.bias": torch.zeros(80),
    }
    torch.save({"model": weights}, tmp_path / "m.pth")
    with pytest.raises(InputError, match=f"change {group}.NUM_CLASSES"):
        build_checkpointer(cfg, model, exact=True).load(str(tmp_path / "m.pth"))
    build_checkpointer(cfg, model, str(tmp_path)).load(str(tmp_path / "m.pth"))


def small_model():
    return torch.nn.ModuleDict({"body": torch.nn.Linear(2, 3), "last": torch.nn.Linear(3, 2)})


def test_named_weights_are_put_back_and_no_others():
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fresh = FreshWeights(model, ["last"])
    model.load_state_dict({name: value + 1 for name, value in before.items()})
    fresh.restore()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name] + (not name.startswith("last")))


def test_no_prefix_changes_nothing():
    model = small_model()
    fresh = FreshWeights(model, [])
    torch.nn.init.ones_(model["last"].bias)
    fresh.restore()
    assert model["last"].bias.tolist() == [1, 1]


def test_unknown_name_is_one_line():
    with pytest.raises(InputError, match="no weight's name begins with lsat"):
        FreshWeights(small_model(), ["last", "lsat"])


def test_trainer_reinitializes_named_weights_but_never_when_it_resumes(tiny_cfg, tmp_path):
    tiny_cfg.DATASETS.TEST = ()
    tiny_cfg.SOLVER.MAX_ITER = 2
    first = Trainer(tiny_cfg)
    first.resume_or_load(resume=False)
    first.train()
    trained = {name: value.clone() for name, value in first.bare_model.state_dict().items()}

    cfg = tiny_cfg.clone()
    cfg.MODEL.FRESH_WEIGHTS = ["conv."]
    resumed = Trainer(cfg)
    resumed.resume_or_load(resume=True)
    assert torch.equal(resumed.bare_model.conv.weight, trained["conv.weight"])

    cfg.MODEL.WEIGHTS = f"{tiny_cfg.OUTPUT_DIR}/model_final.pth"
    cfg.OUTPUT_DIR = str(tmp_path / "fine")
    tuned = Trainer(cfg)
    initial = tuned.bare_model.conv.weight.clone()
    tuned.resume_or_load(resume=False)
    assert torch.equal(tuned.bare_model.conv.weight, initial)
    assert torch.equal(tuned.bare_model.norm.weight, trained["norm.weight"])
