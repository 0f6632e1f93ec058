"""The page is what the script makes of the data."""

import json
import re
from pathlib import Path

import pytest

from solo_d2.model_zoo import load_catalogue
from solo_d2.model_zoo.catalogue import architectures

ROOT = Path(__file__).resolve().parents[2]


def test_page_is_up_to_date(run_tool):
    run_tool("model_zoo_table", "--check")


def test_every_published_file_has_its_row():
    page = (ROOT / "docs" / "MODEL_ZOO.md").read_text()
    catalogue = load_catalogue()
    for model in catalogue.models.values():
        [row] = [line for line in page.splitlines() if line.startswith(f"| [{model.name}](")]
        assert f"({model.url})" in row and f"| {model.published_ap} |" in row
    for backbone in catalogue.backbones.values():
        assert f"| `{backbone.address}` |" in page
    for source in catalogue.sources.values():
        assert source.license in page


def test_columns_appear_with_their_measurements(tool):
    catalogue = load_catalogue()
    rows = {"SOLOv2 R50": {"input": "800x1088", "parameters_million": 1.5}}
    page = tool.write_page(catalogue, {"machine": None, "rows": rows})
    assert "| SHA-256 | input | parameters, M |\n" in page and "CPU, s" not in page
    rows["SOLOv2 R50"] |= {"cpu_seconds": 2.5, "peak_memory_mib": 900}
    rows["SOLO R50"] = {"input": "800x1088"}
    page = tool.write_page(catalogue, {"machine": "a machine", "rows": rows})
    assert "Time and memory: a machine" in page
    lines = {line.partition("]")[0]: line for line in page.splitlines()}
    for name in ("original/solov2_R50_1x", "mmdet/solov2_R50_3x", "adelaidet/solov2_R50_3x"):
        assert lines[f"| [{name}"].endswith("| 800x1088 | 1.5 | 2.5 | 900 |")
    assert lines["| [mmdet/solo_R50_3x"].endswith("| 800x1088 | – | – | – |")
    assert lines["| [mmdet/solov2_R101_3x"].endswith("| – | – | – | – |")


def test_an_old_page_is_noticed(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "PAGE", tmp_path / "MODEL_ZOO.md")
    monkeypatch.setattr("sys.argv", ["model_zoo_table.py", "--check"])
    with pytest.raises(Exception, match="out of date: run python tools/model_zoo_table.py"):
        tool.main()
    monkeypatch.setattr("sys.argv", ["model_zoo_table.py"])
    tool.main()
    assert [path.name for path in tmp_path.iterdir()] == ["MODEL_ZOO.md"]


def test_only_measured_values_are_in_the_data(tool):
    measured = json.loads((ROOT / "benchmarks" / "results" / "model_zoo.json").read_text())
    assert measured["machine"]
    assert measured["rows"].keys() == architectures().keys()
    for row in measured["rows"].values():
        assert row.keys() == tool.MEASURED_COLUMNS.keys()
        assert re.fullmatch(r"\d+x\d+", row["input"])
        assert all(value > 0 for key, value in row.items() if key != "input")
