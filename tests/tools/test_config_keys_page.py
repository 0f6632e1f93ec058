"""The page of config keys is complete and up to date."""

import re
from pathlib import Path

import pytest

from detectron2.config import get_cfg as get_detectron2_cfg
from solo_d2.config import get_cfg
from solo_d2.config.loading import flatten

ROOT = Path(__file__).resolve().parents[2]


def test_page_is_up_to_date(run_tool):
    run_tool("config_keys_page", "--check")


def test_every_added_key_is_there_once_with_default_and_meaning(tool):
    rows = [line for line in tool.PAGE.read_text().splitlines() if line.startswith("| `")]
    shown = [key for row in rows for key in re.findall(r"`([A-Za-z_0-9.]+)` = ", row.split(" | ")[0])]
    added = flatten(get_cfg()).keys() - flatten(get_detectron2_cfg()).keys()
    assert sorted(shown) == sorted(added) and len(added) > 150
    assert [row for row in rows if len(row.split(" | ", 1)[1].strip(" |")) < 10] == []
    assert any("`SOLVER.EMA.DECAY` = `0.999` | Exponential moving average" in row for row in rows)


def test_a_comment_belongs_to_the_lines_below_it(tool):
    lines = [
        "def add(node):",
        "    # Width,",
        "    # depth.",
        "    node.A = 1",
        "    node.B = 2",
        "    # C.",
        "    node.C = 3",
    ]
    assert [tool.comment_above(lines, number)[1] for number in (4, 5, 7)] == [
        "Width, depth.",
        "Width, depth.",
        "C.",
    ]
    assert tool.comment_above(["def add(node):", "    node.A = 1"], 2)[1] == ""


def test_an_old_page_is_noticed(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "PAGE", tmp_path / "config_keys.md")
    monkeypatch.setattr("sys.argv", ["config_keys_page.py", "--check"])
    with pytest.raises(Exception, match="out of date: run python tools/config_keys_page.py"):
        tool.main()
    monkeypatch.setattr("sys.argv", ["config_keys_page.py"])
    tool.main()
    assert [path.name for path in tmp_path.iterdir()] == ["config_keys.md"]
