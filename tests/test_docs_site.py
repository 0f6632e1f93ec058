"""The site of docs/: every page is in its menu, and it builds without a warning."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def pages_of(menu):
    """Yields the pages of a menu: names, titled names, and menus in menus."""
    for entry in menu:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from pages_of(value) if isinstance(value, list) else [value]


def test_every_page_is_in_the_menu_once():
    docs = ROOT / SETTINGS["docs_dir"]
    assert sorted(pages_of(SETTINGS["nav"])) == sorted(
        p.relative_to(docs).as_posix() for p in docs.rglob("*.md")
    )


def test_the_api_page_names_what_exists():
    names = re.findall(r"^::: ([\w.]+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert len(names) > 10
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    import solo_d2

    public = {name for name in solo_d2.__all__ if callable(getattr(solo_d2, name))}
    assert {f"solo_d2.{name}" for name in public} <= set(names)


def test_links_out_of_docs_become_names():
    spec = importlib.util.spec_from_file_location("docs_links", ROOT / "tools" / "docs_links.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = "[a](../page.md#x), [c.md](../../c.md), [b](b.md), [d](https://x.org), ![i](../../i.png)"
    assert tool.name_outside_files(text, "results/page.md") == text.replace("[c.md](../../c.md)", "`c.md`")
    assert tool.name_outside_files("[a](../README.md#x)", "page.md") == "a (`README.md`)"


@pytest.mark.slow
def test_it_builds_strictly(tmp_path):
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason=f"needs the extra docs: {package} is not installed")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-4000:]
    assert "from_pretrained" in (tmp_path / "api" / "index.html").read_text()
