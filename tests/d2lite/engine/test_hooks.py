import pytest
import torch

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import TrainerBase, hooks
from detectron2.utils.events import EventWriter, get_event_storage


class Loop(TrainerBase):
    """A loop whose steps do nothing but what ``function(iteration)`` does."""

    def __init__(self, function=lambda iteration: None):
        super().__init__()
        self.function = function

    def run_step(self):
        self.function(self.iter)


def run(registered, start=0, end=6, function=lambda iteration: None):
    loop = Loop(function)
    loop.register_hooks(registered)
    loop.train(start, end)
    return loop


def test_times_are_recorded_after_the_warm_up():
    loop = run([hooks.IterationTimer(warmup_iter=3)])
    recorded = loop.storage.history("time").values()
    assert [iteration for _, iteration in recorded] == [2, 3, 4, 5]
    assert all(0 <= seconds < 1 for seconds, _ in recorded)


class Writer(EventWriter):
    def __init__(self):
        self.written = []

    def write(self):
        self.written.append(get_event_storage().iter)

    def close(self):
        self.written.append("closed")


def test_writers_are_called_periodically_and_at_the_end():
    writer = Writer()
    run([hooks.PeriodicWriter([writer], period=4)])
    assert writer.written == [3, 5, 6, "closed"]


def test_evaluations_and_their_results():
    done = []

    def evaluate():
        done.append(get_event_storage().iter)
        return {"segm": {"AP": len(done)}}

    loop = run([hooks.EvalHook(2, evaluate)])
    assert done == [1, 3, 6]  # the last one after training
    assert loop.storage.latest()["segm/AP"] == (3.0, 6)
    done.clear()
    run([hooks.EvalHook(0, evaluate)])
    assert done == [6]
    done.clear()
    run([hooks.EvalHook(2, evaluate, eval_after_train=False)])
    assert done == [1, 3]


def test_results_have_to_be_numbers():
    with pytest.raises(ValueError, match="AP"):
        run([hooks.EvalHook(2, lambda: {"AP": "high"})])


def test_periodic_checkpoints(tmp_path):
    model = torch.nn.Linear(1, 1)
    run([hooks.PeriodicCheckpointer(DetectionCheckpointer(model, str(tmp_path)), 4)])
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model_0000003.pth", "model_final.pth", "last_checkpoint"}


@pytest.mark.parametrize(("mode", "best"), [("max", 4.0), ("min", 1.0)])
def test_best_checkpoint(tmp_path, mode, best):
    model = torch.nn.Linear(1, 1, bias=False)

    def step(iteration):
        with torch.no_grad():
            model.weight.fill_([3.0, 4.0, float("nan"), 2.0, 1.0, 3.5][iteration])

    checkpointer = DetectionCheckpointer(model, str(tmp_path))
    evaluate = hooks.EvalHook(1, lambda: {"score": model.weight.item()})
    run([evaluate, hooks.BestCheckpointer(1, checkpointer, "score", mode)], function=step)
    saved = torch.load(tmp_path / "model_best.pth", weights_only=True)
    assert saved["model"]["weight"].item() == best


def test_best_checkpoint_without_the_metric_only_warns(tmp_path):
    checkpointer = DetectionCheckpointer(torch.nn.Linear(1, 1), str(tmp_path))
    run([hooks.BestCheckpointer(1, checkpointer, "score")])
    assert not list(tmp_path.iterdir())


def test_learning_rate_is_stepped_and_recorded():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.1)
    hook = hooks.LRScheduler(optimizer, scheduler)
    loop = run([hook], function=lambda iteration: optimizer.step())
    rates = [rate for rate, _ in loop.storage.history("lr").values()]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    other = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.1)
    hooks.LRScheduler(optimizer, other).load_state_dict(hook.state_dict())
    assert other.last_epoch == 6


def test_the_group_whose_rate_is_reported():
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(4)]
    choose = hooks.LRScheduler.get_best_param_group_id
    single = [{"params": [p], "lr": lr} for p, lr in zip(parameters, (0.1, 0.2, 0.2, 0.3), strict=True)]
    assert choose(torch.optim.SGD(single, lr=1)) == 1
    groups = [{"params": parameters[:1]}, {"params": parameters[1:]}]
    assert choose(torch.optim.SGD(groups, lr=1)) == 1


@pytest.mark.parametrize(("period", "measurements"), [(0, 1), (2, 3), (4, 2)])
def test_precise_statistics_are_measured_periodically_and_at_the_end(period, measurements):
    model = torch.nn.BatchNorm1d(2)
    batches = [torch.full((2, 2), float(k)) for k in range(10)]
    run([hooks.PreciseBN(period, model, batches, num_iter=3)], end=6)
    # The batches continue after the last measurement.
    expected = sum(range(3 * measurements - 3, 3 * measurements)) / 3
    assert model.running_mean.tolist() == pytest.approx([expected] * 2)


def test_precise_statistics_need_a_batch_norm_in_training_mode():
    hook = hooks.PreciseBN(1, torch.nn.BatchNorm1d(2).eval(), None, num_iter=3)
    hook.update_stats()  # reads no data
