import json
import logging

import pytest
import torch

from detectron2.utils.events import (
    CommonMetricPrinter,
    EventStorage,
    JSONWriter,
    TensorboardXWriter,
    get_event_storage,
    has_event_storage,
)


def test_storage_is_the_innermost_open_one():
    assert not has_event_storage()
    with pytest.raises(AssertionError):
        get_event_storage()
    with EventStorage() as outer, EventStorage() as inner:
        assert get_event_storage() is inner is not outer
    assert not has_event_storage()


def filled(count=30):
    """Scalars over 30 iterations from 5 on: loss = i, plain = 2i, and rare = i every third time."""
    storage = EventStorage(5)
    for i in range(count):
        storage.put_scalar("loss", i)
        storage.put_scalars(plain=2 * i, smoothing_hint=False)
        if i % 3 == 0:
            storage.put_scalar("rare", torch.tensor(float(i)))
        storage.iter += 1
    return storage


def test_latest_and_smoothed_values():
    storage = filled()
    assert storage.iter == 35
    assert storage.latest() == {"loss": (29.0, 34), "plain": (58.0, 34), "rare": (27.0, 32)}
    smoothed = storage.latest_with_smoothing_hint(20)
    assert smoothed == {"loss": (19.5, 34), "plain": (58.0, 34), "rare": (18.0, 32)}
    assert storage.count_samples("loss", 20) == 20
    assert storage.count_samples("rare", 20) == 7
    assert storage.history("loss").latest() == 29
    assert set(storage.histories()) == {"loss", "plain", "rare"}
    with pytest.raises(KeyError):
        storage.history("unknown")
    with pytest.raises(AssertionError):
        storage.put_scalar("loss", 1, smoothing_hint=False)


def test_explicit_iteration():
    storage = EventStorage()
    storage.put_scalar("a", 1)
    storage.put_scalar("b", 2, cur_iter=7)
    assert storage.latest() == {"a": (1.0, 0), "b": (2.0, 7)}


def test_json_lines_hold_what_is_new(tmp_path):
    path = tmp_path / "metrics.json"
    with filled() as storage:
        writer = JSONWriter(str(path))
        writer.write()
        writer.write()
        storage.put_scalar("loss", 100.0)
        writer.write()
        writer.close()
    rows = {row["iteration"]: row for row in map(json.loads, path.read_text().splitlines())}
    assert rows == {
        34: {"iteration": 34, "loss": 19.5, "plain": 58.0},
        32: {"iteration": 32, "rare": 18.0},
        35: {"iteration": 35, "loss": 20.5},
    }


def test_tensorboard_gets_scalars_and_images(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with filled() as storage:
        storage.put_image("picture", torch.zeros(3, 4, 5, dtype=torch.uint8))
        writer = TensorboardXWriter(str(tmp_path))
        writer.write()
        writer.write()
        writer.close()
        assert not storage._vis_data
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "plain", "rare"}
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(34, 19.5)]
    assert [(event.width, event.height) for event in events.Images("picture")] == [(5, 4)]


def test_printed_line(monkeypatch):
    lines = []
    printer = CommonMetricPrinter(100)
    monkeypatch.setattr(printer.logger, "info", lines.append)
    with EventStorage(9) as storage:
        storage.put_scalars(total_loss=3.14159, loss_a=1.0, time=0.5, data_time=0.1)
        storage.put_scalar("lr", 0.01, smoothing_hint=False)
        printer.write()
        assert storage.latest()["eta_seconds"] == (0.5 * 90, 9)
        storage.iter = 100
        printer.write()  # the run is over
    assert len(lines) == 1
    words = " ".join(lines[0].split())
    for part in ("eta: 0:00:45", "iter: 9", "total_loss: 3.142", "loss_a: 1", "time: 0.5000"):
        assert part in words
    for part in ("last_time: 0.5000", "data_time: 0.1000", "lr: 0.01"):
        assert part in words
    assert printer.logger is logging.getLogger("detectron2.utils.events")
