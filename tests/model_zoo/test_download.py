"""Downloads against a local server that sends ranges, breaks off, or sends something else."""

import hashlib
import http.server
import threading

import pytest

from solo_d2.model_zoo.download import download
from solo_d2.utils.errors import InputError
from solo_d2.utils.file_lock import lock_file

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


class Host(http.server.ThreadingHTTPServer):
    """A host with scripted responses that records its requests."""

    ranges = True
    break_after: list[int] = []
    status = 200
    content = CONTENT
    headers: dict[str, str] = {}
    knows_if_range = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.versions: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/m.pth"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        version = self.headers.get("If-Range")
        self.server.versions.append(version)
        content = self.server.content
        same = not (version and self.server.knows_if_range) or version in self.server.headers.values()
        start = int(wanted[len("bytes=") : -1]) if wanted and self.server.ranges and same else 0
        if self.server.status != 200 or start >= len(content):
            self.send_response(416 if start else self.server.status)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.server.headers.items():
            self.send_header(name, value)
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


def test_a_terminal_shows_a_bar(host, target, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    host.break_after = [300_000]
    download(host.url, target, DIGEST)
    assert "m.pth" in (shown := capsys.readouterr().err) and "1.02M/1.02M" in shown


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
    with pytest.raises(InputError, match=f"SHA-256 begins with {DIGEST}, deadbeef is stated"):
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
    target.write_bytes(CONTENT)
    assert download("http://127.0.0.1:9/m.pth", target, DIGEST) == target
    target.write_bytes(b"mine")
    assert download("http://127.0.0.1:9/m.pth", target).read_bytes() == b"mine"


def test_another_file_put_there_by_hand_is_refused(target):
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with pytest.raises(InputError, match=f"{DIGEST} is stated. Delete it to have http://") as error:
        download("http://127.0.0.1:9/m.pth", target, DIGEST)
    assert str(target) in str(error.value) and "\n" not in str(error.value)
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("headers", [{"Content-Type": "text/html; charset=utf-8"}, {}])
@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>Log in", b"\n <script>"])
def test_a_web_page_is_no_weight_file(host, target, headers, page):
    host.content, host.headers = page, headers
    with pytest.raises(InputError, match="gives a web page, not the file"):
        download(host.url, target)
    assert [path.name for path in target.parent.iterdir()] in ([], ["m.pth.lock"])


def test_a_safetensors_header_of_60_bytes_is_no_web_page(host, target):
    host.content = (60).to_bytes(8, "little") + b"{" + b" " * 59
    assert download(host.url, target).read_bytes().startswith(b"<")


VERSIONS = [
    ({"ETag": '"one"'}, {"ETag": '"two"'}),
    ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, {"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}),
    (
        {"ETag": 'W/"x"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"},
        {"ETag": 'W/"x"', "Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"},
    ),
]


@pytest.mark.parametrize(("first", "second"), VERSIONS)
@pytest.mark.parametrize("knows_if_range", [True, False])
def test_two_files_are_never_joined(host, target, first, second, knows_if_range):
    host.headers, host.break_after, host.knows_if_range = first, [1000, 0], knows_if_range
    with pytest.raises(InputError):
        download(host.url, target)
    host.headers, host.content = second, CONTENT[::-1]
    download(host.url, target)
    assert target.read_bytes() == CONTENT[::-1]
    assert not list(target.parent.glob("*.part*"))


def test_the_same_version_goes_on(host, target):
    host.headers, host.break_after = {"ETag": '"one"'}, [1000]
    download(host.url, target)
    assert target.read_bytes() == CONTENT and host.asked == [None, "bytes=1000-"]
    assert host.versions == [None, '"one"'] and not list(target.parent.glob("*.part*"))


def test_a_lock_that_is_never_free(target, monkeypatch):
    monkeypatch.setattr("solo_d2.model_zoo.download._PATIENCE", 0.2)
    target.parent.mkdir(parents=True)
    with open(f"{target}.lock", "w") as other:
        assert lock_file(other, inherited=True)
        with pytest.raises(InputError, match="is locked, perhaps by another process") as error:
            download("http://127.0.0.1:9/m.pth", target)
    assert str(target) in str(error.value) and "\n" not in str(error.value)


def test_two_processes_at_once(host, target):
    threads = [threading.Thread(target=download, args=(host.url, target, DIGEST)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT and host.asked == [None]
