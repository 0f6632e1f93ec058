"""The path manager: local files and Detectron2's addresses."""

import pytest

from detectron2.utils.file_io import PathHandler, PathManager


def test_local_files(tmp_path):
    path = str(tmp_path / "a.txt")
    with PathManager.open(path, "w") as file:
        file.write("text")
    assert PathManager.isfile(path) and PathManager.exists(str(tmp_path))
    assert PathManager.get_local_path(path) == path
    with pytest.raises(FileNotFoundError):
        PathManager.open(str(tmp_path / "b.txt"))


def test_detectron2_addresses_become_public_urls(monkeypatch):
    asked = []

    def get_local_path(path, *args, **kwargs):
        asked.append(path)
        return original(path, *args, **kwargs) if path.startswith("detectron2://") else "cached"

    original = PathManager.get_local_path
    monkeypatch.setattr(PathManager, "get_local_path", get_local_path)
    path = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
    assert PathManager.get_local_path(path) == "cached"
    base = "https://dl.fbaipublicfiles.com/detectron2/"
    assert asked == [path, base + "ImageNetPretrained/MSRA/R-50.pkl"]


def test_own_handlers_can_be_registered():
    class Handler(PathHandler):
        def _get_supported_prefixes(self):
            return ["test-file-io://"]

        def _isfile(self, path, **kwargs):
            return True

    PathManager.register_handler(Handler())
    assert PathManager.isfile("test-file-io://x")
