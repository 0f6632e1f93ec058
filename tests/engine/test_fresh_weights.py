import pytest
import torch

from solo_d2.engine.fresh_weights import FreshWeights
from solo_d2.engine.trainer import Trainer
from solo_d2.utils.errors import InputError


def make_model():
    return torch.nn.ModuleDict({"body": torch.nn.Linear(2, 3), "last": torch.nn.Linear(3, 2)})


def test_named_weights_are_put_back_and_no_others():
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fresh = FreshWeights(model, ["last"])
    model.load_state_dict({name: value + 1 for name, value in before.items()})
    fresh.restore()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name] + (not name.startswith("last")))


def test_no_prefix_changes_nothing():
    model = make_model()
    fresh = FreshWeights(model, [])
    torch.nn.init.ones_(model["last"].bias)
    fresh.restore()
    assert model["last"].bias.tolist() == [1, 1]


def test_unknown_name_is_one_line():
    with pytest.raises(InputError, match="no weight's name begins with lsat"):
        FreshWeights(make_model(), ["last", "lsat"])


def test_trainer_starts_named_weights_anew_but_never_when_it_resumes(tiny_cfg, tmp_path):
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
