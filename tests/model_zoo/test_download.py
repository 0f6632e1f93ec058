"""Downloads against a local server that sends ranges, breaks off, or sends something else."""

import hashlib
import http.server
import threading

import pytest

from solo_d2.model_zoo.download import download
from solo_d2.structures import InputError

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


class Host(http.server.ThreadingHTTPServer):
    """What it does next, and what it was asked for."""

    ranges = True
    break_after: list[int] = []
    status = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/m.pth"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted[len("bytes=") : -1]) if wanted and self.server.ranges else 0
        if self.server.status != 200 or start >= len(CONTENT):
            self.send_response(416 if start else self.server.status)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        stop = self.server.break_after.pop(0) if self.server.break_after else len(body)
        self.wfile.write(body[:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def host():
    server = Host()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "m.pth"


def test_fetched_once_and_checked(host, target):
    assert download(host.url, target, DIGEST) == target
    assert target.read_bytes() == CONTENT
    download(host.url, target, DIGEST)
    assert host.asked == [None]
    assert not target.with_name("m.pth.part").exists()


def test_goes_on_by_itself(host, target):
    host.break_after = [300_000, 200_000]
    download(host.url, target, DIGEST)
    assert target.read_bytes() == CONTENT
    assert host.asked == [None, "bytes=300000-", "bytes=500000-"]


def test_goes_on_in_the_next_call(host, target):
    part = target.with_name("m.pth.part")
    host.break_after = [1000, 0]
    with pytest.raises(InputError) as error:
        download(host.url, target, DIGEST)
    assert host.url in str(error.value) and str(target) in str(error.value) and "\n" not in str(error.value)
    assert part.read_bytes() == CONTENT[:1000] and not target.exists()
    download(host.url, target, DIGEST)
    assert host.asked[-1] == "bytes=1000-" and target.read_bytes() == CONTENT


def test_starts_again_where_the_host_knows_no_ranges(host, target):
    host.ranges = False
    target.parent.mkdir()
    target.with_name("m.pth.part").write_bytes(b"old")
    download(host.url, target, DIGEST)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [b"", b"too long"])
def test_a_part_that_is_complete_or_longer_than_the_file(host, target, extra):
    target.parent.mkdir()
    target.with_name("m.pth.part").write_bytes(CONTENT + extra)
    download(host.url, target, DIGEST)
    assert target.read_bytes() == CONTENT


def test_another_file_than_its_name_says(host, target):
    with pytest.raises(InputError, match=f"SHA-256 begins with {DIGEST}, its name says deadbeef"):
        download(host.url, target, "deadbeef")
    assert list(target.parent.glob("m.pth")) == [] == list(target.parent.glob("*.part"))


@pytest.mark.parametrize("status", [404, 500])
def test_refused(host, target, status):
    host.status = status
    with pytest.raises(InputError, match="could not be fetched"):
        download(host.url, target)


def test_offline_says_what_to_do(target):
    with pytest.raises(InputError) as error:
        download("http://127.0.0.1:9/m.pth", target)
    assert "fetch it by other means and put it at" in str(error.value) and str(target) in str(error.value)


def test_a_file_put_there_by_hand_is_taken(target):
    target.parent.mkdir()
    target.write_bytes(b"mine")
    assert download("http://127.0.0.1:9/m.pth", target, DIGEST).read_bytes() == b"mine"


def test_two_processes_at_once(host, target):
    threads = [threading.Thread(target=download, args=(host.url, target, DIGEST)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT and host.asked == [None]
