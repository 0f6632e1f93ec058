"""Files of a stand-in of the Hugging Face Hub."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from solo_d2.checkpoint import read_weight_file
from solo_d2.model_zoo import hub, load_catalogue
from solo_d2.model_zoo.handler import cached_path, local_copy
from solo_d2.model_zoo.hub import HubFile, commit_files, fetch_file, parse_address
from solo_d2.utils.errors import InputError

from .hub_stand_in import TOKEN, forget_package, running_hub

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = HubFile("user/model", "model.pth")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("cache")) as server:
        yield server


@pytest.fixture
def server(shared, monkeypatch, tmp_path):
    """A hub with one repository, and empty caches."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # of repeated requests
    shutil.rmtree(Path(os.environ["HF_HOME"]), ignore_errors=True)
    shared.reset()
    shared.add("user/model", model__pth=CONTENT)
    return shared


@pytest.fixture
def set_variable(server, monkeypatch):
    """``set_variable(name, value)`` sets an environment variable that is read at the import."""

    def set_(name, value):
        monkeypatch.setenv(name, value)
        forget_package()

    yield set_
    forget_package()


def message_of(file, **options):
    with pytest.raises(InputError) as error:
        fetch_file(file, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_addresses():
    address = "https://huggingface.co/user/model/resolve/main/folder/model.pth"
    assert parse_address(address) == HubFile("user/model", "folder/model.pth", "main")
    assert parse_address("https://download.pytorch.org/models/resnet18-f37072fd.pth") is None


def test_fetched_once(server):
    assert hub.cached_file(FILE) is None
    path = fetch_file(FILE, sha256_start=DIGEST[:8])
    assert path.read_bytes() == CONTENT and hub.cached_file(FILE) == path
    fetch_file(FILE)
    asked = [method for method, path in server.requests if "/resolve/" in path]
    assert asked == ["HEAD", "GET", "HEAD"]
    fetch_file(FILE, force=True)
    assert server.requests[-1][0] == "GET"


def test_pinned_revisions(server):
    server.add("user/model", model__pth=b"newer")
    assert fetch_file(FILE).read_bytes() == b"newer"
    assert fetch_file(HubFile("user/model", "model.pth", f"{0:040}")).read_bytes() == CONTENT
    said = message_of(HubFile("user/model", "model.pth", "v9"))
    assert said == "user/model has no revision v9: name a branch, a tag or a commit"


def test_offline_mode(server, set_variable):
    path = fetch_file(FILE)
    set_variable("HF_HUB_OFFLINE", "1")
    server.requests.clear()
    assert fetch_file(FILE) == path
    said = message_of(HubFile("user/model", "other.pth"))
    assert said.startswith("other.pth of user/model is not in the cache, and HF_HUB_OFFLINE forbids")
    assert server.requests == []


def test_without_a_connection(set_variable):
    path = fetch_file(FILE)
    set_variable("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch_file(FILE) == path
    said = message_of(HubFile("user/model", "other.pth"))
    assert "is not in the cache, and http://127.0.0.1:9 could not be reached (" in said
    assert said.endswith("repeat the command with a connection")


def test_private_repositories_need_a_token(server, monkeypatch):
    server.private.add("user/model")
    assert message_of(FILE).startswith(
        f"model.pth of user/model does not exist at {server.url}, or you may not"
    )
    assert fetch_file(FILE, token=TOKEN).read_bytes() == CONTENT
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert fetch_file(FILE, force=True).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (HubFile("user/gone", "model.pth"), "model.pth of user/gone does not exist at "),
        (HubFile("user/model", "x.pth"), "user/model has no file x.pth in its revision main"),
        (HubFile("a/b/c", "x.pth"), "x.pth of a/b/c: a repository is named OWNER/NAME"),
    ],
)
def test_what_does_not_exist(server, file, said):
    assert message_of(file).startswith(said)


def test_broken_downloads(server):
    server.damage = lambda content: content[:1000]
    said = message_of(FILE)
    assert said.startswith("model.pth of user/model could not be transferred (")
    assert hub.cached_file(FILE) is None
    server.damage = lambda content: b"x" + content[1:]
    stated = f"begins with {hashlib.sha256(b'x' + CONTENT[1:]).hexdigest()[:8]}, {DIGEST[:8]} is stated"
    assert stated in message_of(FILE)
    assert hub.cached_file(FILE) is None
    server.damage = None
    assert "deadbeef is stated" in message_of(FILE, sha256_start="deadbeef")
    assert fetch_file(FILE).read_bytes() == CONTENT


def test_the_zoo_uses_it(server):
    published = load_catalogue().find("original/solov2_R50_1x")
    assert local_copy(published) is None
    server.add("xinlongwang/SOLO", SOLOv2_R50_1x__pth=b"PK")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        read_weight_file(published.address)
    path = local_copy(published)
    assert path.read_bytes() == b"PK" and not cached_path(published).exists()
    cached_path(published).parent.mkdir(parents=True)
    cached_path(published).write_bytes(b"PK by hand")
    assert local_copy(published) == cached_path(published)


def test_commits(server, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"text")
    (tmp_path / "b.safetensors").write_bytes(CONTENT)
    files = {path.name: path for path in (tmp_path / "a.txt", tmp_path / "b.safetensors")}
    with pytest.raises(InputError) as error:
        commit_files("user/new", files, "first")
    said = str(error.value)
    assert said.startswith("user/new could not be written: it ") and "hf auth login" in said
    assert "\n" not in said and "user/new" not in server.commits
    assert commit_files("user/new", files, "first", token=TOKEN, private=True) == f"{server.url}/user/new"
    assert server.commits["user/new"] == [{"a.txt": b"text", "b.safetensors": CONTENT}]
    assert "user/new" in server.private
    commit_files("user/new", files, "second", token=TOKEN)
    assert len(server.commits["user/new"]) == 2


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert message_of(FILE).endswith('needs a package: pip install "solo_d2[hub]", or huggingface_hub')
