"""The store: a folder of results, each complete or absent, keyed by its inputs. No fact is parsed out of a file name.

    store/
      format.json                      version of this layout; a newer one is refused
      cells/kk/KEY/                    MANIFEST.json, predictions.parquet
      models/kk/KEY/                   MANIFEST.json: how a model was tuned, or which rate was chosen
      checkpoints/kk/KEY/              MANIFEST.json: a checkpoint that was loaded, and the digest of its weights
      audits/kk/KEY/                   MANIFEST.json: what was checked without a model, and its results
      prompts/kk/KEY/                  MANIFEST.json, prompts.parquet: the text of each prompt hash
      series/IDENTITY/                 checkpoints that amuro pre-trained itself
      ledger/  attempts/               one JSON file per model job (cost), per failure
      tmp/  quarantine/                drafts; damaged results

A commit writes a private draft, syncs each file, adds a manifest with a checksum of itself, renames the draft once
and syncs the parent folder. The first rename wins; a second process that made the same result only loses time.

Reading a store writes nothing: no folder is made, and damaged results stay in place. The first commit or note (or
`prepare`) opens it for writing; from then on damaged results are moved to quarantine.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from amuro.core import disk, owners, regular_files
from amuro.core.errors import StoreError
from amuro.study.result_keys import claimed

VERSION = 1
MANIFEST = disk.MANIFEST
Manifest = disk.Manifest
KINDS = ("cells", "models", "checkpoints", "audits", "prompts")
"""Kinds of results; each is a folder of the store."""
FOLDERS = (*KINDS, "series", "ledger", "attempts", "claims", "tmp", "quarantine")


class Store:
    """A store at a path, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        """Raises `StoreError` if the path is not a store, cannot be read, or has a newer layout."""
        self.root = root
        self._writable = False
        self._verified: set[tuple[str, str]] = set()
        self._damaged: dict[str, str] = {}
        self._told: set[str] = set()
        try:
            if (root.exists() or root.is_symlink()) and not root.is_dir():
                raise StoreError(f"{root} is no folder", "name another with --store DIR")
            self._check_folders()
            self._check_version()
        except OSError as error:
            raise disk.misplaced(error, root) or StoreError(
                f"cannot read the store {root}: {error.strerror}", "name another with --store DIR"
            ) from error

    def prepare(self) -> None:
        """Opens the store for writing and makes its folders. Raises `StoreError` if it cannot be written."""
        if self._writable:
            return
        with disk.writing("results", self.root):
            for name in FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            draft = disk.write(self.draft("format"), b'{"version": %d}\n' % VERSION)  # shows that it can be written
            if (self.root / "format.json").exists():
                draft.unlink()
            else:
                draft.replace(self.root / "format.json")
        self._writable = True
        for name in list(self._damaged):  # found while reading
            self._look_again(self.root / name)

    def join(self) -> None:
        """Opens for writing a store that another process has prepared. Raises `StoreError` if it no longer exists."""
        with disk.writing("results", self.root):
            (self.root / "format.json").stat()
        self._writable = True

    def _check_folders(self) -> None:
        """Raises `StoreError` if a file has the name of a folder: the store would look empty."""
        for name in FOLDERS:
            path = self.root / name
            if path.exists() and not path.is_dir():
                raise disk.misplaced_at(path)

    def _check_version(self) -> None:
        """Raises `StoreError` if format.json is damaged or names a newer layout."""
        path = self.root / "format.json"
        if not path.exists():
            return
        try:
            version = json.loads(regular_files.content(path))["version"]
            newer = version > VERSION
        except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
            cure = (
                f'if this is a store of amuro, write {{"version": {VERSION}}} into it; else name another with --store'
            )
            raise StoreError(f"{path} is damaged: it names no version", cure) from error
        if newer:
            raise StoreError(f"{self.root} has layout {version}, this amuro knows {VERSION}", cure="upgrade amuro")

    def draft(self, name: str) -> Path:
        """Returns an unused path in tmp/ whose name contains its owner."""
        return self.root / "tmp" / f"{name}.{owners.me()}.{time.monotonic_ns()}"

    def commit(self, kind: str, key: str, facts: Mapping[str, Any], files: Mapping[str, pl.DataFrame]) -> None:
        """Publishes one result completely or not at all; an undamaged result with this key is left as it is.

        Raises `StoreError`, for example on a full disk, and leaves no trace then.
        """
        self.prepare()
        if self.has(kind, key):
            return
        contents = {name: _parquet(frame) for name, frame in files.items()}
        listed = {name: disk.listed(content) for name, content in contents.items()}
        body = {**facts, "kind": kind, "key": key, "files": listed, "created_ns": time.time_ns()}
        contents[MANIFEST] = disk.checksummed(body)
        with disk.writing(f"{kind}/{key[:12]}", self.root, sum(map(len, contents.values()))):
            self._publish(contents, self._place(kind, key))

    def has(self, kind: str, key: str) -> bool:
        """Whether a result exists and all its files have their recorded digests; a damaged one is moved to
        quarantine.
        """
        manifest = self.manifest(kind, key)
        return manifest is not None and self.verify(manifest)

    def _publish(self, contents: Mapping[str, bytes], place: Path) -> None:
        """Writes a draft and renames it to `place`. A rename cannot replace a result that another process has
        published meanwhile: that one stays.
        """
        draft = self.draft(place.name)
        try:
            draft.mkdir()
            for name, content in contents.items():
                disk.write(draft / name, content)
            disk.sync(draft)
            place.parent.mkdir(exist_ok=True)
            try:
                draft.rename(place)
            except OSError:
                if self._read(place) is None:
                    raise
            disk.sync(place.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _place(self, kind: str, key: str) -> Path:
        """Returns the folder of a result."""
        return self.root / kind / key[:2] / key

    def manifest(self, kind: str, key: str) -> Manifest | None:
        """Returns the manifest of an undamaged result, else None. A damaged one is moved to quarantine."""
        return self._read(self._place(kind, key))

    def _read(self, place: Path) -> Manifest | None:
        """Returns the manifest in a folder if it and the sizes of its files are right, else None; see `manifest`."""
        if not place.exists():  # asked first: a result that appears after this is whole, and no case for quarantine
            return None
        body: Manifest | None = None
        try:
            body = disk.checked(regular_files.content(place / MANIFEST))
            sizes = {name: (place / name).stat().st_size for name in body["files"]} if body else {}
        except OSError:
            if not place.exists():  # set aside meanwhile
                return None
            sizes = {}
        if body is None:
            self.set_aside(place, "its manifest is cut or changed")
        elif claimed(body) != (place.parent.parent.name, place.name):
            self.set_aside(place, "it is in the place of another result", body)
        elif any(sizes.get(name) != size for name, (size, _) in body["files"].items()):
            self.set_aside(place, "a file of it is cut or gone", body)
        else:
            return body
        return None

    def manifests(self, kind: str) -> Iterator[Manifest]:
        """Yields the manifest of every undamaged result of a kind, in the order of the keys."""
        for place in sorted((self.root / kind).glob("??/*")):
            manifest = self._read(place)
            if manifest is not None:
                yield manifest

    def cells(self) -> dict[str, list[Manifest]]:
        """Returns cell address → all its undamaged results, in the order of their keys.

        The inputs decide which result counts (`status`), not the time: results of two states of a study coexist.
        """
        results: dict[str, list[Manifest]] = {}
        for manifest in self.manifests("cells"):
            results.setdefault(manifest["address"], []).append(manifest)
        return results

    def frame(self, manifest: Manifest, name: str) -> pl.DataFrame | None:
        """Returns a table of a result, verified by its sha256; None, after moving the result to quarantine, if it is
        damaged.
        """
        place = self._place(manifest["kind"], manifest["key"])
        try:
            content = regular_files.content(place / name)
        except OSError:
            content = b""
        if disk.listed(content) != manifest["files"][name]:
            self.set_aside(place, f"{name} is cut or changed", manifest)
            return None
        return pl.read_parquet(content)

    def verify(self, manifest: Manifest) -> bool:
        """Whether every file of a result has its recorded sha256; quarantine if not. Each result is read once per
        process.
        """
        kind, key = manifest["kind"], manifest["key"]
        if (kind, key) in self._verified:
            return True
        for name, (_, written) in manifest["files"].items():
            if disk.sha256(self._place(kind, key) / name) != written:
                self.set_aside(self._place(kind, key), f"{name} is cut or changed", manifest)
                return False
        self._verified.add((kind, key))
        return True

    def set_aside(self, path: Path, why: str, manifest: Manifest | None = None) -> None:
        """Moves a damaged file or folder of the store to quarantine, and remembers a sentence for `told`."""
        name = path.relative_to(self.root).as_posix()
        known = f" ({manifest['address']})" if manifest and "address" in manifest else ""
        aside = f"{name.replace('/', '.')}.{time.time_ns()}"
        fate = "left out; amuro run sets it aside and makes it again"
        if self._writable:
            with suppress(OSError):  # another reader was faster
                path.rename(self.root / "quarantine" / aside)
                fate = f"set aside as quarantine/{aside}"
        self._damaged[name] = f"{name}{known} is damaged ({why}): {fate}"

    def _look_again(self, path: Path) -> None:
        """Verifies a path again after the store was opened for writing, and moves it to quarantine if damaged."""
        if path.is_dir():
            manifest = self._read(path)
            if manifest:
                self.verify(manifest)
        elif path.exists():
            self._noted(path)

    def told(self) -> list[str]:
        """Returns one sentence for each damaged result that this method has not returned before."""
        new = [text for text in self._damaged.values() if text not in self._told]
        self._told.update(new)
        return new

    def note(self, folder: str, facts: Mapping[str, Any]) -> None:
        """Writes one small JSON file into a folder: a model job's cost (`ledger`), a failure (`attempts`)."""
        self.prepare()
        draft = self.draft(folder)
        name = f"{time.time_ns()}.{owners.me()}.json"
        with disk.writing(f"a note to {folder}/", self.root):
            disk.write(draft, disk.checksummed(facts)).rename(self.root / folder / name)

    def notes(self, folder: str) -> list[Manifest]:
        """Returns all notes of a folder in the order of writing; damaged ones are moved to quarantine."""
        return [note for path in sorted((self.root / folder).glob("*.json")) if (note := self._noted(path))]

    def _noted(self, path: Path) -> Manifest | None:
        """Returns a note, or None if it is damaged (then quarantined) or cannot be read."""
        try:
            note = disk.checked(regular_files.content(path))
        except OSError:
            if path.is_file() or not path.exists():  # one that we may not read, or that was set aside meanwhile
                return None
            note = None
        if note is None:
            self.set_aside(path, "cut or changed")
        return note


def _parquet(frame: pl.DataFrame) -> bytes:
    """Returns the bytes of a Parquet file. Made in memory, so that a write error always comes from the disk, not
    polars.
    """
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd")
    return content.getvalue()
