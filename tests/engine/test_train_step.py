import os

import pytest
import torch

from detectron2.engine import TrainerBase
from detectron2.structures import Boxes, Instances
from solo_d2.engine.train_step import TrainStep


class Quadratic(torch.nn.Module):
    """Two losses of one weight; the second is infinite where an image asks for it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, batch):
        worst = torch.stack([item["image"].max() for item in batch]).max()
        return {"loss_a": self.weight**2, "loss_b": self.weight * 0 + worst}


def item(name, value):
    targets = Instances((2, 2))
    targets.gt_boxes = Boxes(torch.tensor([[0.0, 0.0, 1.0, 2.0]]))
    targets.gt_classes = torch.tensor([1])
    return {"image": torch.full((3, 2, 2), value), "file_name": name, "instances": targets}


class Loop(TrainerBase):
    """Runs a ``TrainStep`` as the trainer does."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def run_step(self):
        self.step.iter = self.iter
        self.step.run_step()


def make_step(batches, dump_dir, **kwargs):
    model = Quadratic()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return TrainStep(model, batches, optimizer, dump_dir=str(dump_dir), **kwargs)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_steps_as_plain_sgd(tmp_path, dtype):
    step = make_step([[item("a.png", 1.0)]] * 3, tmp_path, autocast_dtype=dtype)
    loop = Loop(step)
    loop.train(0, 3)
    expected = 3.0 * 0.8**3  # w -= 0.1 * 2w
    assert step.model.weight.item() == pytest.approx(expected, rel=1e-5)
    assert loop.storage.history("loss_a").values()[0][0] == pytest.approx(9.0)
    assert loop.storage.latest()["total_loss"][0] == pytest.approx(1 + (3.0 * 0.8**2) ** 2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_loss_is_named_and_dumped(tmp_path, bad):
    batches = [[item("fine.png", 1.0)], [item("fine.png", 1.0), item("bad.png", bad)]]
    step = make_step(batches, tmp_path / "new")
    with pytest.raises(FloatingPointError) as error:
        Loop(step).train(0, 2)
    text = str(error.value)
    assert "\n" not in text
    for part in ("loss_b", "iteration 1", "bad.png", "BASE_LR", "nonfinite_iter_0000001.pth"):
        assert part in text, part
    assert "loss_a" not in text
    path = tmp_path / "new" / "nonfinite_iter_0000001.pth"
    dump = torch.load(path, weights_only=True)
    assert dump["file_names"] == ["fine.png", "bad.png"]
    assert dump["images"][1].shape == (3, 2, 2)
    assert dump["gt_boxes"][1].tolist() == [[0.0, 0.0, 1.0, 2.0]]
    assert dump["gt_classes"][0].tolist() == [1]
    assert dump["losses"]["loss_a"] == pytest.approx((3.0 * 0.8) ** 2)
    # the weights are those that gave the loss: no step was made on it
    assert dump["model"]["weight"].item() == pytest.approx(3.0 * 0.8)
    assert os.listdir(tmp_path / "new") == [path.name]


def test_batch_without_targets_or_names_can_be_dumped(tmp_path):
    step = make_step([[{"image": torch.full((3, 2, 2), float("nan")), "image_id": 5}]], tmp_path)
    with pytest.raises(FloatingPointError, match="on images 5"):
        Loop(step).train(0, 1)


def test_loss_scale_is_part_of_the_state(tmp_path):
    step = make_step([[item("a.png", 1.0)]], tmp_path, autocast_dtype=torch.float16)
    Loop(step).train(0, 1)
    state = step.state_dict()
    state["grad_scaler"]["scale"] = 123.0
    other = make_step([], tmp_path, autocast_dtype=torch.float16)
    other.load_state_dict(state)
    assert other.grad_scaler.get_scale() == 123.0
    make_step([], tmp_path).load_state_dict(make_step([], tmp_path).state_dict())


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_total_norm_is_clipped(tmp_path, dtype):
    step = make_step([[item("a.png", 1.0)]], tmp_path, autocast_dtype=dtype, max_norm=0.5)
    Loop(step).train(0, 1)
    assert step.model.weight.item() == pytest.approx(3.0 - 0.1 * 0.5, rel=1e-4)  # gradient 6
