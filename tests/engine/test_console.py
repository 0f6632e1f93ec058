"""The console shows what a person reads."""

import io
import logging
import sys

import torch

from detectron2.engine import TrainerBase
from solo_d2.engine import console
from solo_d2.engine.console import ProgressBar, set_up_logging, summary


def test_results_as_lines():
    results = {
        "segm": {"AP": 41.25, "AP50": 60.0, "APs": float("nan"), "AP-cow": 50.0, "AP-ape": float("nan")},
        "bbox": {"AP": float("nan")},
    }
    assert summary(results) == ["segm: AP 41.2, AP50 60.0", "bbox: nothing to measure"]
    assert summary(results, classes=True)[1] == "segm by class: AP-cow 50.0"
    assert summary({"one": results, "two": {}})[0] == "one segm: AP 41.2, AP50 60.0"
    assert summary({}) == []


def test_log_and_console(tmp_path, capfd):
    with console.own_logging():
        set_up_logging(str(tmp_path))
        set_up_logging(str(tmp_path))
        logging.getLogger("detectron2.engine.defaults").info("long model")
        logging.getLogger("detectron2.utils.events").info("losses")
        logging.getLogger("fvcore.x").warning("careful")
        logging.getLogger("solo_d2.x").info("own")
        logging.getLogger("solo_d2.x").debug("detail")
    shown = [line.split("]: ")[-1] for line in capfd.readouterr().out.splitlines()]
    assert [line.split()[-1] for line in shown] == ["losses", "careful", "own"]
    logged = [line.split()[-1] for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert logged == ["model", "losses", "careful", "own", "detail"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_a_bar_instead_of_lines(tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)  # here, as pytest sets its own between phases
    monkeypatch.setattr(sys, "stderr", terminal)

    class Loop(TrainerBase):
        def run_step(self):
            self.storage.put_scalars(total_loss=0.25, time=1.0)
            if self.iter == 2:
                logging.getLogger("solo_d2.x").info("in between")

    with console.own_logging():
        set_up_logging(str(tmp_path))
        logging.getLogger("detectron2.utils.events").info("a line of losses")
        loop = Loop()
        loop.register_hooks([ProgressBar()])
        loop.train(1, 5)
    text = terminal.getvalue()
    assert "5/5" in text and "total_loss=0.25" in text
    assert "in between\n" in text and "a line of losses" not in text


def test_trainer_shows_a_bar_in_terminals_only(tiny_cfg, monkeypatch):
    from solo_d2.engine.trainer import Trainer

    torch.manual_seed(0)
    for has_one in (False, True):
        monkeypatch.setattr("solo_d2.engine.trainer.has_terminal", lambda has_one=has_one: has_one)
        found = [hook for hook in Trainer(tiny_cfg)._hooks if isinstance(hook, ProgressBar)]
        assert len(found) == has_one
