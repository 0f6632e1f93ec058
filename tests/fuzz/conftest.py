"""A folder for the files of fuzz tests that run what a user runs."""

import logging

import pytest

from solo_d2.data.datasets.catalogs import forget_dataset


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """``tmp_path``, with the working directory in ``work``; logging and data sets are as before afterward."""
    loggers = [logging.getLogger(name) for name in ("solo_d2", "detectron2", "fvcore")]
    before = [(logger.propagate, logger.level, list(logger.handlers)) for logger in loggers]
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path
    for logger, (propagate, level, handlers) in zip(loggers, before, strict=True):
        logger.propagate, logger.handlers = propagate, handlers
        logger.setLevel(level)
    for name in ("custom_train", "custom_val", "own_images"):
        forget_dataset(name)
