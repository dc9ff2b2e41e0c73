"""The waist. Whatever a run leaves is whole or absent, keyed by its inputs, and never parsed out of a file name.

    store/
      format.json                      version of this layout; a newer one is refused
      cells/kk/KEY/                    MANIFEST.json, predictions.parquet
      models/kk/KEY/                   MANIFEST.json: how a model was tuned, or which rate a rule chose
      checkpoints/kk/KEY/              MANIFEST.json: a checkpoint that was loaded, and the digest of its weights
      audits/kk/KEY/                   MANIFEST.json: what was checked without a model, and its results
      prompts/kk/KEY/                  MANIFEST.json, prompts.parquet: the text behind each prompt hash
      series/IDENTITY/                 checkpoints that amuro pre-trained itself
      ledger/  attempts/               one JSON file a visit: cost; failures
      tmp/  quarantine/                drafts; what did not verify

A commit is a private draft, each file synced, a manifest that checks itself, one rename, and a synced parent.
The first rename wins; a second runner that made the same thing has lost nothing but time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from amuro.errors import StoreError
from amuro.identity import canonical, digest

VERSION = 1
MANIFEST = "MANIFEST.json"
Manifest = dict[str, Any]


class Store:
    """A folder of results. Opening it checks that it can be written; nothing else is decided here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            for name in (
                "cells",
                "models",
                "checkpoints",
                "audits",
                "prompts",
                "series",
                "ledger",
                "attempts",
                "tmp",
                "quarantine",
            ):
                (root / name).mkdir(parents=True, exist_ok=True)
            probe = root / "tmp" / f"probe.{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
            self._check_version()
        except OSError as error:
            raise StoreError(
                f"cannot write to the store {root}: {error.strerror}", cure="name another with --store DIR"
            ) from error

    def _check_version(self) -> None:
        path = self.root / "format.json"
        if not path.exists():
            _write(path.with_suffix(f".{os.getpid()}"), b'{"version": %d}\n' % VERSION).replace(path)
        found = json.loads(path.read_text(encoding="utf-8"))["version"]
        if found > VERSION:
            raise StoreError(f"{self.root} has layout {found}, this amuro knows {VERSION}", cure="upgrade amuro")

    def commit(self, kind: str, key: str, facts: Mapping[str, Any], files: Mapping[str, pl.DataFrame]) -> None:
        """Publishes one result: all of it, or nothing; one that is there, and whole, is left alone.

        Raises `StoreError` (a full disk) and leaves no trace then.
        """
        if self._is_there(kind, key):
            return
        place = self._place(kind, key)
        draft = self.root / "tmp" / f"{key}.{os.getpid()}.{time.monotonic_ns()}"
        try:
            draft.mkdir()
            listed = {name: _listed(_write_frame(draft / name, frame)) for name, frame in files.items()}
            body = {**facts, "kind": kind, "key": key, "files": listed, "created_ns": time.time_ns()}
            _write(draft / MANIFEST, canonical({**body, "check": digest(body)}))
            _sync(draft)
            place.parent.mkdir(parents=True, exist_ok=True)
            self._publish(draft, place)
        except OSError as error:
            raise StoreError(
                f"cannot commit {kind} {key[:12]} to {self.root}: {error.strerror}",
                cure="free some space; finished cells are safe and the run goes on from them",
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _is_there(self, kind: str, key: str) -> bool:
        return self.manifest(kind, key) is not None

    def _publish(self, draft: Path, place: Path) -> None:
        """One rename. It cannot replace a folder that another runner has published meanwhile: that one stays."""
        try:
            draft.rename(place)
        except OSError:
            if self._read(place) is None:
                raise
        _sync(place.parent)

    def _place(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:2] / key

    def manifest(self, kind: str, key: str) -> Manifest | None:
        """The manifest of a result that is whole, else None. What does not verify is put into quarantine."""
        return self._read(self._place(kind, key))

    def _read(self, place: Path) -> Manifest | None:
        if not place.exists():  # asked first: a result that appears after this is whole, and no case for quarantine
            return None
        try:
            body: Manifest = json.loads((place / MANIFEST).read_bytes())
            check = body.pop("check")
            sizes = {name: (place / name).stat().st_size for name in body["files"]}
            whole = check == digest(body) and all(sizes[name] == size for name, (size, _) in body["files"].items())
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        if whole:
            return body
        self._quarantine(place)
        return None

    def manifests(self, kind: str) -> Iterator[Manifest]:
        """Every whole result of a kind; reads manifests only."""
        for place in sorted((self.root / kind).glob("??/*")):
            manifest = self._read(place)
            if manifest is not None:
                yield manifest

    def cells(self) -> dict[str, Manifest]:
        """Cell address → its newest whole result."""
        found: dict[str, Manifest] = {}
        for manifest in self.manifests("cells"):
            known = found.get(manifest["address"])
            if known is None or known["created_ns"] < manifest["created_ns"]:
                found[manifest["address"]] = manifest
        return found

    def frame(self, manifest: Manifest, name: str) -> pl.DataFrame | None:
        """A file of a result, verified by its sha256; None, and quarantine, where a bit has flipped."""
        place = self._place(manifest["kind"], manifest["key"])
        path = place / name
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() != manifest["files"][name][1]:
            self._quarantine(place)
            return None
        return pl.read_parquet(content)

    def _quarantine(self, place: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # another reader was faster
            place.rename(self.root / "quarantine" / f"{place.parent.parent.name}.{place.name}.{time.time_ns()}")

    def note(self, folder: str, facts: Mapping[str, Any]) -> None:
        """One small JSON file: a visit's cost (`ledger`), a failure (`attempts`)."""
        name = f"{time.time_ns()}.{os.getpid()}.json"
        _write(self.root / "tmp" / name, canonical(dict(facts))).rename(self.root / folder / name)

    def notes(self, folder: str) -> list[dict[str, Any]]:
        return [json.loads(path.read_bytes()) for path in sorted((self.root / folder).glob("*.json"))]


def _write_frame(path: Path, frame: pl.DataFrame) -> Path:
    frame.write_parquet(path, compression="zstd")
    _sync(path)
    return path


def _write(path: Path, content: bytes) -> Path:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _listed(path: Path) -> tuple[int, str]:
    content = path.read_bytes()
    return len(content), hashlib.sha256(content).hexdigest()
