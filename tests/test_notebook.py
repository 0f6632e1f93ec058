"""examples/quickstart.ipynb: stored without outputs, and executed as a user does."""

import ast
import json
import shutil
from pathlib import Path

import pytest

import solo_d2

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "quickstart.ipynb"
MAX_SECONDS = 300


def code_cells(content: dict) -> list[dict]:
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def test_is_stored_without_outputs():
    cells = code_cells(json.loads(NOTEBOOK.read_text()))
    assert len(cells) >= 5
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)


def test_uses_public_names():
    """A fast form of the execution."""
    source = "\n".join("".join(cell["source"]) for cell in code_cells(json.loads(NOTEBOOK.read_text())))
    used = {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "solo_d2"
    }
    assert {"train", "evaluate"} <= used <= set(solo_d2.__all__)


@pytest.mark.slow
def test_runs(tmp_path):
    nbclient = pytest.importorskip("nbclient", reason='pip install "solo_d2[notebook]"')
    pytest.importorskip("ipykernel", reason='pip install "solo_d2[notebook]"')
    nbformat = pytest.importorskip("nbformat")
    shutil.copy(NOTEBOOK, tmp_path)
    notebook = nbformat.read(tmp_path / NOTEBOOK.name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=MAX_SECONDS, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs), "a drawn picture"
    numbers = [
        output["data"]["text/plain"] for output in outputs if output["output_type"] == "execute_result"
    ]
    assert numbers[0] == numbers[-1], "the training's AP is that of the evaluation"
    assert (tmp_path / "quickstart" / "drawn.png").is_file()
