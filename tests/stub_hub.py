"""A model hub on loopback that answers the real client as the real hub does, faults included.

Modelled: the list of refs, model info, the paged file tree, HEAD and GET of files with ranges, 401 for what is not
there, 403 of a gated repository, 404 of a revision, 307 of a moved repository, connections that break mid-file.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 3
"""Files on one page of the tree: few, so that the client has to turn pages."""


def commit_of(files: Mapping[str, bytes], revision: str) -> str:
    digest = hashlib.sha1(revision.encode())
    for name in sorted(files):
        digest.update(name.encode() + hashlib.sha1(files[name]).digest())
    return digest.hexdigest()


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@dataclass
class Repository:
    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: bool = False
    moved_to: str = ""

    def files(self, revision: str) -> dict[str, bytes] | None:
        by_commit = {commit_of(files, name): files for name, files in self.revisions.items()}
        return self.revisions.get(revision) or by_commit.get(revision)

    def commit(self, revision: str) -> str:
        return commit_of(self.revisions[revision], revision) if revision in self.revisions else revision


@dataclass
class StubHub:
    url: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    """File name → after how many bytes each coming answer breaks off; used up from the front."""
    down: int = 0
    """Status with which everything is answered while it is not 0."""
    stall: str = ""
    """File whose answers stop half-way."""
    half_sent: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path, Range header) of everything that was asked."""

    def ranges(self, name: str) -> list[str]:
        """The Range headers with which a file was downloaded."""
        return [asked for method, path, asked in self.requests if method == "GET" and path.endswith(f"/{name}")]

    @contextmanager
    def stalled(self, name: str) -> Iterator[threading.Event]:
        """Answers for that file stop half-way as long as the block lasts; the event says that one has."""
        self.stall = name
        yield self.half_sent
        self.stall = ""
        self.released.set()


@contextmanager
def serve() -> Iterator[StubHub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    hub = StubHub(f"http://127.0.0.1:{server.server_port}")
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> StubHub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.hub.requests.append((self.command, unquote(url.path), self.headers.get("Range", "")))
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        api = parts[:2] == ["api", "models"]
        organisation, model, *rest = parts[2:] if api else parts
        name = f"{organisation}/{model}"
        repository = self.hub.repositories.get(name)
        if self.hub.down:
            self._error(self.hub.down, "", "Try again later.")
        elif repository is None:
            self._error(401, "RepoNotFound", "Invalid username or password.")
        elif repository.moved_to:
            self._send(307, b"", {"Location": self.path.replace(name, repository.moved_to, 1)})
        elif api:
            self._api(name, repository, rest, parse_qs(url.query))
        else:
            self._resolve(repository, revision=rest[1], path="/".join(rest[2:]))

    def _api(self, name: str, repository: Repository, rest: list[str], query: dict[str, list[str]]) -> None:
        if rest == ["refs"]:
            refs = [
                {"name": n, "ref": f"refs/heads/{n}", "targetCommit": repository.commit(n)}
                for n in repository.revisions
            ]
            self._json({"branches": refs, "converts": [], "tags": []})
            return
        revision = rest[1] if len(rest) > 1 else "main"
        files = repository.files(revision)
        if files is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif rest[:1] == ["tree"]:
            self._tree(files, int(query.get("cursor", ["0"])[0]))
        else:
            siblings = [{"rfilename": path, **_metadata(path, content)} for path, content in sorted(files.items())]
            self._json({"id": name, "modelId": name, "sha": repository.commit(revision), "siblings": siblings})

    def _tree(self, files: Mapping[str, bytes], start: int) -> None:
        page = sorted(files.items())[start : start + PAGE]
        entries = [
            {"type": "file", "path": path, "oid": "0" * 40, **_metadata(path, content)} for path, content in page
        ]
        more = start + PAGE < len(files)
        following = f"{self.hub.url}{urlsplit(self.path).path}?recursive=true&cursor={start + PAGE}"
        self._json(entries, {"Link": f'<{following}>; rel="next"'} if more else {})

    def _resolve(self, repository: Repository, revision: str, path: str) -> None:
        files = repository.files(revision)
        if repository.gated:
            self._error(403, "GatedRepo", "Access to model is restricted and you are not in the authorized list.")
        elif files is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif path not in files:
            self._error(404, "EntryNotFound", "Entry not found")
        else:
            self._file(path, files[path], repository.commit(revision))

    def _file(self, path: str, content: bytes, commit: str) -> None:
        sha = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": commit, "ETag": f'"{sha}"', "Accept-Ranges": "bytes"}
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        if self.command == "GET" and path == self.hub.stall:
            self._stall(content, headers)
            return
        cuts = self.hub.cuts.get(path, []) if self.command == "GET" else []
        self._send(206 if begin else 200, content[begin:], headers, cut=cuts.pop(0) if cuts else None)

    def _stall(self, content: bytes, headers: Mapping[str, str]) -> None:
        self._send(200, content, headers, cut=len(content) * 9 // 10)
        self.wfile.flush()
        self.hub.half_sent.set()
        self.hub.released.wait(60)

    def _json(self, value: object, headers: Mapping[str, str] | None = None) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _error(self, status: int, code: str, message: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": message})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True


def _metadata(path: str, content: bytes) -> dict[str, object]:
    metadata: dict[str, object] = {"size": len(content), "blobId": hashlib.sha1(content).hexdigest()}
    if path.endswith((".safetensors", ".bin")):
        sha = hashlib.sha256(content).hexdigest()
        metadata["lfs"] = {"oid": sha, "sha256": sha, "size": len(content), "pointerSize": 130}
    return metadata
