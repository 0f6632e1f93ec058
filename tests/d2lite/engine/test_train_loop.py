import pytest
import torch

from detectron2.engine import HookBase, SimpleTrainer, TrainerBase


class Recorder(HookBase):
    """Notes the order of calls."""

    def __init__(self):
        self.calls = []

    def before_train(self):
        self.calls.append("before_train")

    def before_step(self):
        self.calls.append(f"before_step {self.trainer.iter} {self.trainer.storage.iter}")

    def after_backward(self):
        self.calls.append("after_backward")

    def after_step(self):
        self.calls.append("after_step")

    def after_train(self):
        self.calls.append(f"after_train {self.trainer.iter}")

    def state_dict(self):
        return {"count": len(self.calls)}

    def load_state_dict(self, state):
        self.calls = ["loaded"] * state["count"]


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, scale):
        return {"loss_a": scale * self.weight**2, "loss_b": self.weight.abs()}


class Step(SimpleTrainer):
    """The plainest step; on the real Detectron2 it replaces the one there."""

    def run_step(self):
        if self.iter == self.start_iter:
            self._batches = iter(self.data_loader)
        losses = self.model(next(self._batches))
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        self.after_backward()
        self.write_metrics(losses, 0.25, self.iter)
        self.optimizer.step()


def make_trainer(scales):
    model = Model()
    return Step(model, scales, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))


def test_steps_and_hook_order():
    trainer = make_trainer([1.0, 2.0])
    recorder = Recorder()
    trainer.register_hooks([None, recorder])
    trainer.train(0, 2)
    step = ["after_backward", "after_step"]
    assert recorder.calls == [
        "before_train", "before_step 0 0", *step, "before_step 1 1", *step, "after_train 2",
    ]  # fmt: skip
    weight, velocity = 2.0, 0.0
    for scale in (1.0, 2.0):
        velocity = 0.9 * velocity + 2 * scale * weight + 1
        weight -= 0.1 * velocity
    assert trainer.model.weight.item() == pytest.approx(weight)
    assert trainer.storage.history("total_loss").values()[0] == (6.0, 0)
    assert trainer.storage.history("loss_a").values()[0] == (4.0, 0)
    assert trainer.storage.latest()["data_time"] == (0.25, 1)


def test_after_train_runs_when_training_fails():
    trainer = make_trainer([1.0])  # the loader ends after one batch
    recorder = Recorder()
    trainer.register_hooks([recorder])
    with pytest.raises(StopIteration):
        trainer.train(0, 2)
    assert recorder.calls[-1] == "after_train 1"


def test_non_finite_loss_stops():
    trainer = make_trainer([float("nan")])
    with pytest.raises(FloatingPointError):
        trainer.train(0, 1)
    assert trainer.model.weight.item() == 2.0


def test_state_round_trip():
    trainer = make_trainer([1.0] * 3)
    trainer.register_hooks([Recorder()])
    trainer.train(0, 3)
    state = trainer.state_dict()
    assert state["iteration"] == 3 and set(state) == {"iteration", "hooks", "optimizer"}
    other = make_trainer([])
    recorder = Recorder()
    other.register_hooks([recorder])
    other.load_state_dict(state)
    assert other.iter == 3 and len(recorder.calls) == state["hooks"]["Recorder"]["count"]
    momentum = next(iter(other.optimizer.state.values()))["momentum_buffer"]
    assert momentum == next(iter(trainer.optimizer.state.values()))["momentum_buffer"]


def test_states_of_absent_hooks_are_tolerated():
    trainer = TrainerBase()
    trainer.load_state_dict({"iteration": 4, "hooks": {"Elsewhere": {"a": 1}}})
    assert trainer.iter == 4 and "hooks" not in trainer.state_dict()
