"""Log lines on the console and in files, and limits on repeated ones."""

import logging

import pytest

from detectron2.utils.logger import (
    create_small_table,
    log_every_n_seconds,
    log_first_n,
    setup_logger,
)


def test_files_of_ranks_and_no_console_on_others(tmp_path, capsys):
    for rank in (0, 2):
        name = f"logger_test_{rank}"
        logger = setup_logger(str(tmp_path), distributed_rank=rank, name=name, color=False)
        logging.getLogger(f"{name}.part").info("hello from %d", rank)
        assert not logger.propagate
    assert "logger_test_0.part INFO: hello from 0" in (tmp_path / "log.txt").read_text()
    assert "hello from 2" in (tmp_path / "log.txt.rank2").read_text()
    console = capsys.readouterr().out
    assert "hello from 0" in console and "hello from 2" not in console


def test_console_has_short_names_of_children(tmp_path, capsys):
    path = tmp_path / "own.log"
    logger = setup_logger(str(path), name="logger_test.long", abbrev_name="s")
    logger.info("one")
    logging.getLogger("logger_test.long.tail").warning("two")
    lines = path.read_text().splitlines()
    assert lines[0].endswith("logger_test.long INFO: one")
    assert lines[1].endswith("WARNING: two")
    console = capsys.readouterr().out
    assert " logger_test.long]: one" in console and " s.tail]: two" in console
    assert "WARNING" in console


def test_second_call_adds_no_handler(tmp_path):
    first = setup_logger(str(tmp_path), name="logger_test_twice")
    count = len(first.handlers)
    assert setup_logger(str(tmp_path), name="logger_test_twice") is first
    assert len(first.handlers) == count == 2


@pytest.fixture
def records(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_log_first_n(records):
    for i in range(3):
        log_first_n(logging.INFO, f"place {i}", n=2)
        log_first_n(logging.INFO, "same text", key="message")
        log_first_n(logging.INFO, f"both {i}", key=("caller", "message"))
    log_first_n(logging.INFO, "same text", key="message")
    texts = records()
    assert [t for t in texts if "place" in t] == ["place 0", "place 1"]
    assert texts.count("same text") == 1
    assert [t for t in texts if "both" in t] == ["both 0", "both 1", "both 2"]


def test_log_every_n_seconds(records):
    for i in range(5):
        log_every_n_seconds(logging.INFO, f"second {i}", n=1000)
    assert records() == ["second 0"]


def test_messages_carry_the_callers_module(caplog):
    log_first_n(logging.WARNING, "whose")
    log_first_n(logging.WARNING, "named", name="chosen")
    assert [record.name for record in caplog.records] == [__name__, "chosen"]


def test_small_table():
    table = create_small_table({"AP": 12.34567, "AP50": float("nan")})
    header, rule, row = table.splitlines()
    assert "AP50" in header and "12.346" in row and "nan" in row and set(rule) <= set("|:-")
