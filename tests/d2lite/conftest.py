"""The tests below run against whichever ``detectron2`` is installed: d2lite or the real one."""

import pytest

import detectron2

IS_D2LITE = "d2lite" in detectron2.__version__


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "d2lite_only: promised by d2lite alone; skipped with the real Detectron2"
    )


def pytest_collection_modifyitems(items):
    if not IS_D2LITE:
        skip = pytest.mark.skip(reason="promised by d2lite alone; the real Detectron2 is active")
        for item in items:
            if item.get_closest_marker("d2lite_only"):
                item.add_marker(skip)
