import json
import signal
from functools import partial

import pytest
import torch

from detectron2.engine import EvalHook, TrainerBase
from solo_d2.checkpoint import Checkpointer, read_weight_file
from solo_d2.engine import hooks
from solo_d2.engine.hooks import BestCheckpoint, Checkpoints, EMAHook, PreciseBN
from solo_d2.engine.interruption import Interrupted


class CountingLoop(TrainerBase):
    """Sets the model's weight to the number of the iteration."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def run_step(self):
        with torch.no_grad():
            self.model.weight.fill_(float(self.iter + 1))
            self.model.running_mean.fill_(float(self.iter))
            self.model.num_batches_tracked += 1


def make_model():
    return torch.nn.BatchNorm1d(2)


def test_average_follows_its_definition(tmp_path):
    model = make_model()
    hook = EMAHook(model, 0.4, partial(Checkpointer, save_dir=str(tmp_path), resumable=False))
    loop = CountingLoop(model)
    loop.register_hooks([hook])
    with torch.no_grad():
        model.weight.fill_(10.0)  # as weights loaded after the hook was made
    loop.train(0, 5)
    expected = 10.0
    for update in range(5):
        decay = min(0.4, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * (update + 1)
    assert hook.averaged.weight.tolist() == pytest.approx([expected] * 2)
    assert hook.averaged.running_mean[0] != model.running_mean[0]
    assert hook.averaged.num_batches_tracked == 5
    assert not hook.averaged.training and not hook.averaged.weight.requires_grad
    saved = read_weight_file(str(tmp_path / "model_final_ema.pth"))["model"]
    assert torch.equal(saved["weight"], hook.averaged.weight)
    assert not (tmp_path / "last_checkpoint").exists()


def test_average_survives_its_state_dict():
    model = make_model()
    hook = EMAHook(model, 0.9, Checkpointer)
    loop = CountingLoop(model)
    loop.register_hooks([hook])
    loop.train(0, 3)
    other = EMAHook(make_model(), 0.9, Checkpointer)
    other.load_state_dict(hook.state_dict())
    other.before_train()  # does not start over
    assert torch.equal(other.averaged.weight, hook.averaged.weight)
    assert other.state_dict()["updates"] == 3


def run_best(tmp_path, scores, start=0):
    """One evaluation per iteration with the given scores; returns (hook, loop)."""
    model = make_model()
    loop = CountingLoop(model)
    evaluations = iter(scores)
    best = BestCheckpoint(1, Checkpointer(model, str(tmp_path), resumable=False), "segm/AP")
    loop.register_hooks([EvalHook(1, lambda: {"segm": {"AP": next(evaluations)}}), best])
    loop.train(start, start + len(scores))
    return best


def test_best_is_kept_over_resuming(tmp_path):
    run_best(tmp_path, [10.0, 30.0, 20.0])
    saved = read_weight_file(str(tmp_path / "model_best.pth"))
    assert saved["model"]["weight"][0] == 2.0 and saved["iteration"] == 1
    assert json.loads((tmp_path / "model_best.json").read_text()) == {
        "metric": "segm/AP",
        "value": 30.0,
        "iteration": 1,
    }
    run_best(tmp_path, [25.0], start=3)  # resumed: better than the last, worse than the best
    assert read_weight_file(str(tmp_path / "model_best.pth"))["iteration"] == 1
    run_best(tmp_path, [35.0], start=4)
    assert read_weight_file(str(tmp_path / "model_best.pth"))["iteration"] == 5
    run_best(tmp_path, [1.0, 0.5])  # a new run in the old folder starts over
    assert read_weight_file(str(tmp_path / "model_best.pth"))["iteration"] == 0


def test_undefined_scores_are_never_best(tmp_path):
    best = run_best(tmp_path, [float("nan"), 0.0, float("nan")])
    assert best.best_metric == 0.0 and best.best_iter == 1


def test_statistics_are_averages_over_the_same_batches_every_time():
    batches = [torch.randn(4, 2) * (k + 1) for k in range(5)]
    model = make_model()
    hook = PreciseBN(2, model, batches, num_iter=3)
    loop = CountingLoop(model)
    loop.register_hooks([hook])
    loop.train(0, 4)
    expected = torch.stack([batch.mean(0) for batch in batches[:3]]).mean(0)
    torch.testing.assert_close(model.running_mean, expected)


def run_saving(tmp_path, monkeypatch, *, seconds_per_step=0.0, stop_after=None, start=0, end=9, **options):
    """Returns the names of the checkpoints, in the order of iterations."""
    now = iter(range(10**6))
    monkeypatch.setattr(hooks.time, "monotonic", lambda: next(now) * seconds_per_step)
    model = make_model()
    loop = CountingLoop(model)

    class Stop(hooks.HookBase):
        def after_step(self):
            loop.stopping = signal.SIGUSR1 if loop.iter == stop_after else 0

    final = Checkpointer(model, str(tmp_path), resumable=False)
    settings = {"period": 0, "minutes": 0, "final": final, **options}
    saving = Checkpoints(Checkpointer(model, str(tmp_path), trainer=loop), **settings)
    loop.register_hooks([Stop(), saving])
    loop.train(start, end)
    return sorted(path.stem for path in tmp_path.glob("*.pth"))


def test_saves_by_steps(tmp_path, monkeypatch):
    assert run_saving(tmp_path, monkeypatch, period=4) == [
        "model_0000003", "model_0000007", "model_final", "resume_0000008",
    ]  # fmt: skip


def test_keeps_the_newest(tmp_path, monkeypatch):
    saved = run_saving(tmp_path, monkeypatch, period=2, most=2, end=8)
    assert saved == ["model_0000005", "model_0000007", "model_final"]
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000007.pth"


def test_final_weights_are_without_the_training(tmp_path, monkeypatch):
    run_saving(tmp_path, monkeypatch)
    final, last = (read_weight_file(str(tmp_path / f"{n}.pth")) for n in ("model_final", "resume_0000008"))
    assert "trainer" not in final and "trainer" in last and final["iteration"] == last["iteration"] == 8
    assert torch.equal(final["model"]["weight"], last["model"]["weight"])


def test_a_finished_run_of_an_earlier_version_can_still_be_continued(tmp_path, monkeypatch):
    """Its ``model_final.pth`` had weights and training."""
    run_saving(tmp_path, monkeypatch)
    (tmp_path / "resume_0000008.pth").rename(tmp_path / "model_final.pth")
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    assert run_saving(tmp_path, monkeypatch, start=9) == ["model_final", "resume_0000008"]
    assert (tmp_path / "last_checkpoint").read_text() == "resume_0000008.pth"
    assert read_weight_file(str(tmp_path / "resume_0000008.pth"))["trainer"]["iteration"] == 8


def test_saves_by_minutes_and_keeps_two(tmp_path, monkeypatch):
    saved = run_saving(tmp_path, monkeypatch, minutes=1, seconds_per_step=20, end=12)
    assert saved == ["model_final", "resume_0000008", "resume_0000011"]
    assert (tmp_path / "last_checkpoint").read_text() == "resume_0000011.pth"


def test_saves_before_evaluations_unless_it_has_just_saved(tmp_path, monkeypatch):
    saved = run_saving(tmp_path, monkeypatch, period=6, eval_period=3)
    assert saved == ["model_0000005", "model_final", "resume_0000002", "resume_0000008"]


def test_what_a_given_up_attempt_left_is_deleted(tmp_path, monkeypatch):
    for number in (1, 2, 8):
        (tmp_path / f"resume_000000{number}.pth").write_text("")
    assert run_saving(tmp_path, monkeypatch, start=3, end=5, eval_period=4) == [
        "model_final", "resume_0000003", "resume_0000004",
    ]  # fmt: skip


def test_stops_with_a_checkpoint(tmp_path, monkeypatch):
    with pytest.raises(Interrupted) as stop:
        run_saving(tmp_path, monkeypatch, stop_after=4)
    assert stop.value.number == signal.SIGUSR1 and stop.value.exit_code == 128 + signal.SIGUSR1
    assert (tmp_path / "last_checkpoint").read_text() == "resume_0000004.pth"
    assert read_weight_file(str(tmp_path / "resume_0000004.pth"))["trainer"]["iteration"] == 4


def test_a_stop_in_the_last_step_is_left_to_the_evaluation(tmp_path, monkeypatch):
    assert run_saving(tmp_path, monkeypatch, stop_after=8) == ["model_final", "resume_0000008"]
