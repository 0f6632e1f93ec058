import json
from itertools import count

import pytest

from detectron2.engine import EvalHook, HookBase, TrainerBase
from detectron2.utils.events import JSONWriter
from solo_d2.engine.metrics import Metrics


class Loop(TrainerBase):
    """Records the iteration as a noisy and as an exact number."""

    def __init__(self, folder, *, period=2, eval_period=3, fails_at=None, saves_at=None, evaluate=None):
        super().__init__()
        self.resumes, self.fails_at, self.saves_at = False, fails_at, saves_at
        self.saved = {}
        path = folder / "metrics.json"
        evaluation = EvalHook(eval_period, evaluate or self.evaluate)
        self.metrics = Metrics([JSONWriter(str(path))], period, str(folder), eval_period, [evaluation])
        self.register_hooks([Saving(self), evaluation, self.metrics])

    def evaluate(self):
        return {"segm": {"AP": float(self.iter)}}

    def run_step(self):
        if self.iter == self.fails_at:
            raise ArithmeticError
        self.storage.put_scalars(total_loss=float(self.iter) ** 2)
        self.storage.put_scalars(lr=self.iter / 10, smoothing_hint=False)

    def resume(self, state, start, end):
        self.resumes = True
        if state:
            self.metrics.load_state_dict(state)
        self.train(start, end)


class Saving(HookBase):
    def __init__(self, loop):
        self.loop = loop

    def after_step(self):
        if self.trainer.iter == self.loop.saves_at:
            self.loop.saved = json.loads(json.dumps(self.loop.metrics.state_dict()))


def lines(folder):
    return (folder / "metrics.json").read_text().splitlines()


@pytest.mark.parametrize(
    ("saves_at", "fails_at"), [(s, f) for s in range(7) for f in range(s + 1, 8)] + [(None, 1), (None, 4)]
)
def test_resumed_metrics_are_those_of_an_uninterrupted_run(tmp_path, saves_at, fails_at):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    Loop(whole).train(0, 8)
    first = Loop(broken, saves_at=saves_at, fails_at=fails_at)
    with pytest.raises(ArithmeticError):
        first.train(0, 8)
    start = 0 if saves_at is None else saves_at + 1
    Loop(broken).resume(first.saved, start, 8)
    found, expected = ([json.loads(line) for line in lines(folder)] for folder in (broken, whole))
    by_iteration = {row["iteration"]: row for row in found}  # a run that fails writes what it has, too
    assert len(by_iteration) == len(found)
    for row in expected:
        assert row.items() <= by_iteration[row["iteration"]].items()


def test_a_failed_evaluation_is_repeated(tmp_path):
    numbers = count()

    def evaluate():
        if next(numbers) == 1:
            raise ArithmeticError
        return {"segm": {"AP": 1.0}}

    first = Loop(tmp_path, period=3, saves_at=5, evaluate=evaluate)
    with pytest.raises(ArithmeticError):
        first.train(0, 9)
    assert [json.loads(line)["iteration"] for line in lines(tmp_path)] == [2]
    Loop(tmp_path, period=3, evaluate=evaluate).resume(first.saved, 6, 9)
    rows = [json.loads(line) for line in lines(tmp_path)]
    assert [(row["iteration"], row.get("segm/AP")) for row in rows] == [(2, 1), (5, 1), (8, None), (9, 1)]
    assert rows[1]["lr"] == 0.5


def test_half_a_line_is_dropped_and_other_damage_kept(tmp_path):
    loop = Loop(tmp_path, eval_period=0, saves_at=3)
    loop.train(0, 4)
    text = (tmp_path / "metrics.json").read_text().splitlines()
    (tmp_path / "metrics.json").write_text(
        "\n".join(["what is this", '["a"]', *text[:2], '{"iteration": 9, "lo'])
    )
    Loop(tmp_path, eval_period=0).resume(loop.saved, 4, 6)
    found = lines(tmp_path)
    assert found[:2] == ["what is this", '["a"]'] and found[2] == text[0]
    assert [json.loads(line)["iteration"] for line in found[2:]] == [1, 3, 5, 6]


def test_a_new_run_keeps_what_is_in_its_folder(tmp_path):
    Loop(tmp_path).train(0, 2)
    before = lines(tmp_path)
    Loop(tmp_path).train(0, 2)
    assert lines(tmp_path) == before + before
