import logging
import time

import pytest
import torch
from torch import nn

import detectron2
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators, inference_context, inference_on_dataset


class Sum(DatasetEvaluator):
    def __init__(self, task):
        self.task = task

    def reset(self):
        self.total = 0

    def process(self, inputs, outputs):
        self.total += sum(outputs)

    def evaluate(self):
        return {self.task: {"total": self.total}}


class Double(nn.Module):
    def forward(self, inputs):
        assert not self.training and not torch.is_grad_enabled()
        return [2 * x for x in inputs]


def test_results_of_one_and_several_evaluators():
    loader = [[1, 2], [3]]
    assert inference_on_dataset(Double(), loader, Sum("a")) == {"a": {"total": 12}}
    results = inference_on_dataset(Double(), loader, [Sum("a"), Sum("b")])
    assert results == {"a": {"total": 12}, "b": {"total": 12}}
    assert inference_on_dataset(Double(), loader, None) == {}


def test_model_may_be_a_function():
    assert inference_on_dataset(lambda x: x, [[1]], Sum("a")) == {"a": {"total": 1}}


def test_mode_is_restored():
    model = Double()
    inference_on_dataset(model, [[1]], None)
    assert model.training
    model.eval()
    with inference_context(model):
        pass
    assert not model.training


@pytest.mark.skipif("d2lite" not in detectron2.__version__, reason="Detectron2 does not restore it")
def test_mode_is_restored_after_an_error():
    model = Double()
    with pytest.raises(RuntimeError), inference_context(model):
        assert not model.training
        raise RuntimeError
    assert model.training


def test_same_task_twice_is_refused():
    with pytest.raises(AssertionError, match="a"):
        inference_on_dataset(Double(), [[1]], DatasetEvaluators([Sum("a"), Sum("a")]))


def test_callbacks_are_called_in_order():
    calls = []
    events = ["on_start", "before_inference", "after_inference", "on_end"]
    callbacks = {event: lambda event=event: calls.append(event) for event in events}
    inference_on_dataset(Double(), [[1], [2]], None, callbacks)
    assert calls == [events[0], *events[1:3] * 2, events[3]]


@pytest.mark.parametrize("batches", [1, 6, 12])
def test_speed_is_logged(caplog, monkeypatch, batches):
    now = time.time() + 1000 * batches  # progress is logged once in five seconds
    monkeypatch.setattr(time, "time", lambda: now)
    with caplog.at_level(logging.INFO):
        inference_on_dataset(Double(), [[1]] * batches, None)
    assert f"Start inference on {batches} batches" in caplog.text
    assert "Total inference time" in caplog.text
    if batches == 12:
        assert "Inference done 11/12. Dataloading: 0.0" in caplog.text and "ETA=0:00:00" in caplog.text
