"""A folder for the files of fuzz tests that run what a user runs."""

import pytest

from solo_d2.data.datasets.catalogs import forget_dataset


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """``tmp_path``, with the working directory in ``work``; data sets are as before afterward."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path
    for name in ("custom_train", "custom_val", "own_images"):
        forget_dataset(name)
