"""A model hub in this process, over HTTP: as much of one as `huggingface_hub` needs to make and fill repositories.

Large files go the way of Git LFS; that of Xet, which its client takes on the real hub, needs servers of its own.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TOKEN = "hf_marked0123456789abcdefghij"


class Hub:
    """Repositories by name: their files, and are they private. `asked`: all requests; `commits`: what changed."""

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.kinds: dict[str, str] = {}
        self.asked: list[str] = []
        self.commits: list[list[str]] = []
        self.large: dict[str, bytes] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What the client reads: where the hub is, that large files take the way of LFS, and no proxy."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "0"}

    def answer(self, method: str, path: str, headers, body: bytes) -> tuple[int, dict]:
        """Status and JSON for one request; who does not know the token is sent away, with the token repeated."""
        self.asked.append(f"{method} {path}")
        if path.startswith("/large/"):
            self.large[path.removeprefix("/large/")] = body
            return 200, {}
        if headers["authorization"] != f"Bearer {TOKEN}":
            return 401, {"error": f"unknown: {headers['authorization']}"}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        if found := re.fullmatch(r"(/datasets)?/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return 200, {"transfer": "basic", "objects": [self._offer(each) for each in json.loads(body)["objects"]]}
        kind = re.match(r"/api/(models|datasets)/", path)
        rest = path.removeprefix(kind[0]) if kind else path
        name, _, action = rest.partition("/preupload/")
        if action:
            files = json.loads(body)["files"]
            modes = {
                f["path"]: "lfs" if re.search(r"\.(safetensors|gguf|parquet)$", f["path"]) else "regular" for f in files
            }
            found = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
            return 200, {"files": found}
        found = re.fullmatch(r"([^/]+/[^/]+)(/tree/main|/commit/main|/revision/main)?", rest)
        name, action = (found[1], found[2]) if kind and found else ("", "")
        if name not in self.repositories or self.kinds[name] != kind[1].removesuffix("s"):
            return 404, {"error": "Repository not found"}
        if action == "/tree/main":
            return 200, [{"type": "file", "path": p, "oid": "0", "size": len(c)}
                         for p, c in self.repositories[name].items()]  # fmt: skip
        if action == "/commit/main":
            self._commit(name, body)
            return 200, {"success": True, "commitOid": "0" * 40, "commitUrl": f"{self.url}/{name}/commit/{'0' * 40}"}
        return 200, {"id": name, "sha": "0" * 40, "private": self.private[name], "siblings": []}

    def _create(self, asked: dict) -> tuple[int, dict]:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "stranger":
            return 403, {"error": "You do not have the rights to create a model under this namespace"}
        url = {"url": f"{self.url}/{name}"}
        if name in self.repositories:
            return 409, url | {"error": "You already created this model repo"}
        self.repositories[name] = {".gitattributes": b""}
        self.kinds[name] = asked.get("type", "model")
        self.private[name] = asked.get("private", False) or asked.get("visibility") == "private"
        return 200, url

    def _validate(self, card: str) -> tuple[int, dict]:
        """As much of what a hub asks of a card as tests make wrong: metadata that is a mapping, with a licence."""
        head = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
        try:
            data = yaml.safe_load(head[1]) if head else {}
        except yaml.YAMLError as error:
            return 400, {"errors": [{"message": f"bad YAML: {error}"}]}
        return (200, {"warnings": []}) if "license" in data else (400, {"errors": [{"message": "no license"}]})

    def _offer(self, wanted: dict) -> dict:
        upload = {"href": f"{self.url}/large/{wanted['oid']}", "header": {}}
        return {"oid": wanted["oid"], "size": wanted["size"], "actions": {"upload": upload}}

    def _commit(self, name: str, body: bytes) -> None:
        changed = []
        for line in body.decode().splitlines():
            kind, value = (json.loads(line)[key] for key in ("key", "value"))
            if kind == "file":
                self.repositories[name][value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                content = self.large[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                self.repositories[name][value["path"]] = content
            elif kind == "deletedFile":
                del self.repositories[name][value["path"]]
            changed.append(f"{kind} {value.get('path', '')}".strip())
        self.commits.append(changed)


@contextlib.contextmanager
def serve() -> Iterator[Hub]:
    """A hub on a free port of 127.0.0.1."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("transfer-encoding") == "chunked":
                body = self._chunks()
            status, data = hub.answer(self.command, self.path.partition("?")[0], self.headers, body)
            said = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def _chunks(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_PUT = do_HEAD = _handle

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
