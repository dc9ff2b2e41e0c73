"""A hub on loopback with data sets, answering the real `datasets` client as the real hub does.

Modelled: data set info, the file tree, paths-info, and HEAD and GET of files; 404 of what is not there. It runs as a
process of its own (`python stub_data_hub.py FOLDER`), prints its address, and serves FOLDER/NAMESPACE/NAME as
`NAMESPACE/NAME`. Every commit of a data set holds the same files, and a branch stands for the one COMMIT.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

NAME = "acme/mood"
COMMIT = "c0ffee" + "0" * 34


_PATH = re.compile(r"/(api/)?datasets/(?P<name>[^/]+/[^/]+)(/(?P<what>revision|tree|resolve|paths-info)/(?P<rest>.*))?")
_REVISION = re.compile(r"(?P<revision>main|refs/convert/parquet|[0-9a-f]{40})(/(?P<rest>.*))?")


def _split(path: str) -> tuple[str | None, str]:
    """Revision, and the path within it; no revision where it is unknown."""
    found = _REVISION.fullmatch(path)
    return (found["revision"], (found["rest"] or "").strip("/")) if found else (None, "")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path
    folder: Path
    commit = COMMIT

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        asked = _PATH.fullmatch(unquote(urlsplit(self.path).path))
        if asked is None or not (self.root / asked["name"]).is_dir():
            self._error("RepoNotFound")
            return
        self.folder = self.root / asked["name"]
        revision, rest = _split(asked["rest"] or "main")
        if revision is None:
            self._error("RevisionNotFound")
            return
        self.commit = revision if len(revision) == 40 else COMMIT
        if asked["what"] == "resolve":
            self._file(rest)
        elif asked["what"] == "tree":
            self._json(self._entries(rest))
        else:
            files = [{"rfilename": name} for name in self._names()]
            self._json({"id": asked["name"], "sha": self.commit, "siblings": files})

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).get("paths", [])
        found = _PATH.fullmatch(unquote(urlsplit(self.path).path))
        assert found is not None
        self.folder = self.root / found["name"]
        self._json([self._entry(name) for name in asked if (self.folder / name).exists()])

    def _names(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file())

    def _entries(self, under: str) -> list[dict[str, object]]:
        recursive = "recursive=true" in self.path.lower()
        paths = (self.folder / under).rglob("*") if recursive else (self.folder / under).glob("*")
        return [self._entry(str(path.relative_to(self.folder))) for path in sorted(paths)]

    def _entry(self, name: str) -> dict[str, object]:
        path = self.folder / name
        if path.is_dir():
            return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
        content = path.read_bytes()
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def _file(self, name: str) -> None:
        path = self.folder / name
        if not path.is_file():
            self._error("EntryNotFound")
            return
        content = path.read_bytes()
        tag = hashlib.sha1(content).hexdigest()
        self._send(200, content, {"X-Repo-Commit": self.commit, "ETag": f'"{tag}"', "Accept-Ranges": "bytes"})

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, code: str) -> None:
        self._send(404, b"{}", {"X-Error-Code": code, "X-Error-Message": code, "X-Repo-Commit": self.commit})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


if __name__ == "__main__":
    Handler.root = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
