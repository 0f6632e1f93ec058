"""A local server with the part of the Hugging Face Hub's API that downloads and commits use."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import sys
import threading

import pytest

ROUTES = {
    "create": r"/api/repos/create",
    "check_page": r"/api/validate-yaml",
    "ask_modes": r"/api/models/(?P<repository>[^/]+/[^/]+)/preupload/[^/]+",
    "describe": r"/api/models/(?P<repository>[^/]+/[^/]+)/revision/[^/]+",  # of huggingface_hub below 1
    "ask_uploads": r"/(?P<repository>[^/]+/[^/]+)\.git/info/lfs/objects/batch",
    "commit": r"/api/models/(?P<repository>[^/]+/[^/]+)/commit/[^/]+",
    "upload": r"/upload/(?P<digest>\w+)",
    "send": r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
}
TOKEN = "hf_stand_in"


class Hub(http.server.ThreadingHTTPServer):
    """The server: repositories of commits, each with files by path.

    Attributes:
        commits: By repository, the files of each commit, in order. A commit's id is its number as 40 digits.
        large: Names of files that are kept by their SHA-256, as the hub keeps weights.
        private: Repositories that need the token.
        damage: Changes what is sent of a file; None to send it as it is.
        requests: Method and path of each request.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.large = re.compile(r".*\.(safetensors|pth)")
        self.reset()

    def reset(self):
        """Makes it as empty as a new one."""
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.damage = None
        self.requests: list[tuple[str, str]] = []
        self.uploads: dict[str, bytes] = {}

    def add(self, repository, **files):
        """Adds a commit with files, whose names have "__" for "."."""
        content = {name.replace("__", "."): data for name, data in files.items()}
        self.commits.setdefault(repository, []).append(content)

    def find(self, repository, revision):
        """Returns the id and the files of a branch or commit; None without such a one."""
        commits = self.commits[repository]
        number = len(commits) - 1 if revision == "main" else int(revision) if revision.isdigit() else -1
        return (f"{number:040}", commits[number]) if 0 <= number < len(commits) else None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one(self):
        self.server.requests.append((self.command, self.path))
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        for name, pattern in ROUTES.items():
            if found := re.fullmatch(pattern, path):
                return getattr(self, name)(**found.groupdict())
        self.answer(404)

    do_GET = do_HEAD = do_POST = do_PUT = handle_one

    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_json(self, value):
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def may_use(self, repository):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}" or repository not in self.server.private

    def send(self, repository, revision, path):
        if repository not in self.server.commits or not self.may_use(repository):
            return self.answer(401, X_Error_Code="RepoNotFound")
        found = self.server.find(repository, revision)
        if found is None:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        commit, files = found
        if path not in files:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        content = files[path]
        hasher = hashlib.sha256 if self.server.large.fullmatch(path) else hashlib.sha1
        tag = f'"{hasher(content).hexdigest()}"'
        sent = self.server.damage(content) if self.server.damage and self.command == "GET" else content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", tag)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(sent)
        self.close_connection = len(sent) != len(content)

    def writable(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def create(self):
        if not self.writable():
            return self.answer(401, b'{"error": "Invalid username or password."}')
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if asked.get("private") or asked.get("visibility") == "private":
            self.server.private.add(name)
        if name in self.server.commits:
            return self.answer(409, json.dumps({"url": f"{self.server.url}/{name}"}).encode())
        self.server.commits[name] = []
        return self.answer_json({"url": f"{self.server.url}/{name}"})

    def check_page(self):
        self.answer_json({"errors": [], "warnings": []})

    def ask_modes(self, repository):
        paths = [file["path"] for file in json.loads(self.body)["files"]]
        modes = {path: "lfs" if self.server.large.fullmatch(path) else "regular" for path in paths}
        rows = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
        self.answer_json({"files": rows})

    def describe(self, repository):
        self.answer_json({"id": repository, "sha": f"{0:040}", "siblings": [], "tags": []})

    def ask_uploads(self, repository):
        rows = [
            {**row, "actions": {"upload": {"href": f"{self.server.url}/upload/{row['oid']}"}}}
            for row in json.loads(self.body)["objects"]
        ]
        self.answer_json({"transfer": "basic", "objects": rows})

    def upload(self, digest):
        assert hashlib.sha256(self.body).hexdigest() == digest
        self.server.uploads[digest] = self.body
        self.answer(200)

    def commit(self, repository):
        commits = self.server.commits[repository]
        files = dict(commits[-1]) if commits else {}
        for row in map(json.loads, self.body.splitlines()):
            if row["key"] == "file":
                files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            elif row["key"] == "lfsFile":
                files[row["value"]["path"]] = self.server.uploads[row["value"]["oid"]]
        commits.append(files)
        self.answer_json(
            {"commitUrl": f"{self.server.url}/{repository}", "commitOid": f"{len(commits) - 1:040}"}
        )

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def running_hub(cache):
    """Runs a hub and points ``huggingface_hub`` to it with environment variables, as a user would."""
    pytest.importorskip("huggingface_hub")
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", server.url)
        patch.setenv("HF_HOME", str(cache))
        patch.setenv("HF_HUB_DISABLE_XET", "1")  # its client speaks to servers of its own
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            patch.delenv(name, raising=False)
        forget_package()
        yield server
    server.shutdown()
    server.server_close()
    forget_package()


def forget_package():
    """Makes the next import of ``huggingface_hub`` read the environment variables again."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]
