"""``solo_d2://`` addresses."""

import pytest

from detectron2.utils.file_io import PathManager
from solo_d2.checkpoint import read_weight_file
from solo_d2.model_zoo import load_catalogue
from solo_d2.model_zoo.handler import cached_path, register_prefix
from solo_d2.structures import InputError


@pytest.fixture
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return tmp_path


def refuse(*args, **kwargs):
    raise OSError("no network")


def test_a_fetched_file_is_found(offline):
    register_prefix()
    published = load_catalogue().find("mmdet/solov2_R50_3x")
    path = cached_path(published)
    assert path == offline / "solo_d2" / "mmdet" / "solov2_r50_fpn_3x_coco_20220512_125856-fed092d4.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    assert PathManager.get_local_path(published.address) == str(path)
    assert PathManager.isfile(published.address) and not PathManager.isfile("solo_d2://mmdet/x")
    with PathManager.open(published.address, "rb") as file:
        assert file.read() == b"weights"
    with pytest.raises(PermissionError):
        PathManager.open(published.address, "w")


def test_offline(offline):
    with pytest.raises(InputError, match=r"download.openmmlab.com.*no network.*put it at .*fed092d4\.pth"):
        read_weight_file("solo_d2://mmdet/solov2_R50_3x")


def test_unknown_name(offline):
    with pytest.raises(InputError, match="did you mean mmdet/solov2_R50_3x"):
        read_weight_file("solo_d2://mmdet/solov2_R50_4x")
