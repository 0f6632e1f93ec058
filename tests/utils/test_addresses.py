"""Addresses from a stranger's config write nothing outside the cache."""

import http.server
import threading
from pathlib import Path

import pytest
import torch

from detectron2.utils.file_io import PathManager
from solo_d2.checkpoint import Checkpointer, read_weight_file
from solo_d2.utils.addresses import fetch_address, is_address, refuse_unsafe_address
from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import open_image

ESCAPES = [
    "{}/../../x.pth",
    "{}/a/../x.pth",
    "{}/..",
    "{}/%2e%2e/%2E%2e/x.pth",
    "{}/%252e%252e/x.pth",
    "{}/..%2f..%2fx.pth",
    "{}/a\\..\\x.pth",
    "{}/x.pth?a=/../..",
    "{}/.. /x.pth",
    "{}/../../x.pth?matching_heuristics=True",
    "{}/.\t./x.pth",
    "{}/x\n.pth",
    "{}/x%0a.pth",
    "{}/\x1b[31mx.pth",
]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"import {self.headers['Host']}{self.path}".encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "some" / "deep" / "cache"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("door", ["weights", "checkpointer", "image"])
def test_nothing_is_written_outside_the_cache(host, tmp_path, door):
    doors = {
        "weights": read_weight_file,
        "checkpointer": Checkpointer(torch.nn.Linear(1, 1)).load,
        "image": lambda address: open_image(address).__enter__(),
    }
    for escape in ESCAPES:
        with pytest.raises(InputError, match="an address must not have") as error:
            doors[door](escape.format(host))
        assert str(error.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prefix", ["detectron2://", "https://host", "ftp://host", "unknown://"])
def test_every_scheme_is_checked(prefix):
    with pytest.raises(InputError, match="must not have '..'"):
        refuse_unsafe_address(f"{prefix}/../x")


def test_good_addresses_are_fetched_into_the_cache(host, tmp_path):
    for name in ("a/x.pth", "v1..2/x..pth", "x.pth?download=1"):
        refuse_unsafe_address(f"{host}/{name}")
    path = fetch_address(f"{host}/a/x.pth")
    folder = host.replace("http://", "http/").replace(":", "_")
    assert path == str(tmp_path / "some" / "deep" / "cache" / folder / "a" / "x.pth")


def test_two_addresses_never_share_a_file(host):
    same_host = [
        f"{host}/a/x.pth",
        f"{host}/a/x.pth?v=1",
        f"{host}/get?file=a/x.pth",
        f"{host}/get?file=b/x.pth",
    ]
    addresses = [*same_host, f"{host.replace('127.0.0.1', 'localhost')}/a/x.pth"]
    for get in (fetch_address, PathManager.get_local_path):
        paths = [get(address) for address in addresses]
        assert len(set(paths)) == len(addresses)
        assert [Path(path).read_text() for path in paths] == [
            f"import {a.partition('//')[2]}" for a in addresses
        ]


def test_paths_of_files_are_no_addresses():
    assert not is_address("../weights/x.pth") and is_address("http://host/x.pth")
    refuse_unsafe_address("../weights/x.pth")
