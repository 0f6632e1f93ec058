"""The environment report, and that it sees a mixture of d2lite and the real Detectron2."""

import pytest
import torch

import detectron2
from detectron2.utils import collect_env


def test_report_names_versions_and_place():
    report = collect_env.collect_env_info()
    assert torch.__version__ in report and detectron2.__version__ in report
    assert "fvcore" in report


@pytest.mark.d2lite_only
def test_report_says_which_it_is():
    assert "d2lite (pure Python" in collect_env.collect_env_info()


@pytest.mark.d2lite_only
def test_mixtures_are_seen(tmp_path, monkeypatch):
    package, site = tmp_path / "a" / "detectron2", tmp_path / "b"
    for folder in (package, site / "detectron2"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    monkeypatch.setattr(collect_env, "_PACKAGE", package)
    monkeypatch.setattr(collect_env.sys, "path", [str(package.parent)])
    monkeypatch.setattr(collect_env, "_is_installed", lambda name: name == "d2lite")
    assert collect_env.find_mixture() == []

    monkeypatch.setattr(collect_env, "_is_installed", lambda name: True)
    monkeypatch.setattr(collect_env.sys, "path", [str(package.parent), str(site)])
    (package / "_C.cpython-311-x86_64-linux-gnu.so").touch()
    hints = "; ".join(collect_env.find_mixture())
    for hint in ("both distributions", "_C.cpython", f"another detectron2 is in {site}"):
        assert hint in hints
    assert "MIXED INSTALLATION" in collect_env.collect_env_info()
