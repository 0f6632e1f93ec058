"""d2lite's setup refuses where the real Detectron2 is installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / "d2lite" / "setup.py"


def run_setup(path, site):
    """Runs setup.py as a build does, with ``site`` as the environment that is installed into."""
    code = (
        "import sys, sysconfig, site, runpy;"
        f"sysconfig.get_path = lambda *a, **k: {str(site)!r};"
        "site.getsitepackages = lambda: []; site.ENABLE_USER_SITE = False;"
        "import setuptools; sys.path[:] = [p for p in sys.path if 'site-packages' not in p];"
        f"sys.argv = ['setup.py', '--version']; runpy.run_path({str(path)!r}, run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=site)


@pytest.fixture
def site(tmp_path):
    pytest.importorskip("setuptools", reason="setup.py needs setuptools")
    return tmp_path


def test_accepts_an_environment_without_detectron2(site):
    result = run_setup(SETUP, site)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"\d+(\.\d+)+", result.stdout.strip()), "package indexes refuse local versions"


def test_licence_and_type_marker_are_shipped():
    assert (SETUP.parent / "LICENSE").read_text() == (SETUP.parents[1] / "LICENSE").read_text()
    assert (SETUP.parent / "detectron2" / "py.typed").is_file()
    text = SETUP.read_text()
    assert 'license_files=["LICENSE"]' in text and "py.typed" in text


def test_accepts_itself(site):
    (site / "detectron2").mkdir()
    (site / "detectron2" / "__init__.py").write_text('__version__ = "0.6+d2lite.0"\n')
    assert run_setup(SETUP, site).returncode == 0


def install_metadata(site):
    (site / "detectron2-0.6.dist-info").mkdir()
    (site / "detectron2-0.6.dist-info" / "METADATA").write_text("Name: detectron2\nVersion: 0.6\n")


def install_package(site):
    (site / "detectron2").mkdir()
    (site / "detectron2" / "__init__.py").write_text('__version__ = "0.6"\n')


def install_link(site):
    (site / "detectron2.egg-link").write_text("somewhere\n")


@pytest.mark.parametrize("install", [install_metadata, install_package, install_link])
def test_refuses_the_real_one_in_one_line(site, install):
    install(site)
    result = run_setup(SETUP, site)
    assert result.returncode != 0
    assert len(result.stderr.strip().splitlines()) == 1
    assert "the real Detectron2 is installed" in result.stderr and str(site) in result.stderr
