"""Atomic, checksummed files: written once, synced to disk, and listed in a manifest with size and sha256."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amuro.core import regular_files
from amuro.core.errors import StoreError
from amuro.core.hashing import canonical, digest

MANIFEST = "MANIFEST.json"
Manifest = dict[str, Any]
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CHUNK = 8 << 20


def checksummed(facts: Mapping[str, Any]) -> bytes:
    """The facts as canonical JSON with a checksum: the field `check` is the digest of all others."""
    return canonical({**facts, "check": digest(facts)})


def checked(content: bytes) -> Manifest | None:
    """The facts that `checksummed` encoded; None if the content has changed."""
    try:
        facts = json.loads(content)
        check = facts.pop("check")
        return facts if isinstance(facts, dict) and check == digest(facts) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def write(path: Path, content: bytes) -> Path:
    """Write a new file, sync it to disk, and return its path. Raises FileExistsError where it exists."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def sync(path: Path) -> None:
    """Flush a file or folder to disk (fsync), so that it survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes; empty where it cannot be read."""
    state = hashlib.sha256()
    try:
        with regular_files.file(path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                state.update(chunk)
    except OSError:
        return ""
    return state.hexdigest()


def list_files(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the manifest of a folder: `facts`, and each file's size and sha256."""
    files = {path.name: [path.stat().st_size, sha256(path)] for path in sorted(folder.iterdir())}
    write(folder / MANIFEST, checksummed({**facts, "files": files}))


def whole(folder: Path, **facts: Any) -> Manifest | None:
    """The manifest of a folder if all listed files are unchanged and it contains these facts; else None."""
    try:
        manifest = checked(regular_files.content(folder / MANIFEST))
    except OSError:
        return None
    if manifest is None or not facts.items() <= manifest.items():
        return None
    unchanged = all(sha256(folder / name) == recorded for name, (_, recorded) in manifest["files"].items())
    return manifest if unchanged else None


@contextmanager
def writing(what: str, root: Path, needed: int = 0) -> Iterator[None]:
    """Inside, an OSError is raised as StoreError with the store, what was to be written, and a cure.

    what: what is written, in words. root: folder of the store. needed: bytes to be written; 0: unknown.
    """
    try:
        yield
    except OSError as error:
        raise refusal(error, what, root, needed) from error


def refusal(error: OSError, what: str, root: Path, needed: int = 0) -> StoreError:
    """The StoreError for an OSError in the store `root`; arguments as in `writing`."""
    if error.errno in _FULL or _FULL_TEXT in str(error):
        size = f"{what} needs {_size(needed)}" if needed else f"{what} cannot be written"
        cure = "free some space; what is finished is safe, and the same command goes on from it"
        return StoreError(f"the disk of the store {root} is full: {size}, {_free(root)} free", cure)
    if error.errno == errno.ENOENT and not root.is_dir():
        return StoreError(f"the store {root} is gone: it was moved, deleted or unmounted meanwhile",
                          "put it back; what is finished is in it, and the same command goes on from it")  # fmt: skip
    if wrong := misplaced(error, root):
        return wrong
    reason = error.strerror or str(error)
    return StoreError(f"cannot write {what} to the store {root}: {reason}", "name another with --store DIR")


def misplaced(error: OSError, root: Path) -> StoreError | None:
    """The StoreError if a path within the store is a folder instead of a file, or the reverse; else None."""
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else root
    inside = [path for path in (*reversed(named.parents), named) if path != root and path.is_relative_to(root)]
    if error.errno in (errno.EISDIR, errno.EINVAL):
        wrong = inside[-1:]
    else:
        wrong = [path for path in inside if path.exists() and not path.is_dir()] if error.errno in _NO_FOLDER else []
    return misplaced_at(wrong[0]) if wrong else None


def misplaced_at(path: Path) -> StoreError:
    """The StoreError for a path that should be a folder (if it is a file) or else a file."""
    kind = "file" if path.is_file() else "folder" if path.is_dir() else "pipe, a socket or a device"
    right = "folder" if path.is_file() else "file"
    cure = "move it away; what is finished is in the store, and the same command goes on from it"
    return StoreError(f"{path} is a {kind} where a {right} belongs", cure)


_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)
_FULL_TEXT = os.strerror(errno.ENOSPC)
"""Libraries written in other languages pass on the text of this error without its number."""


def _free(root: Path) -> str:
    """How much of the disk is free, as the end of a sentence."""
    try:
        return f"{_size(shutil.disk_usage(root).free)} are"
    except OSError:
        return "too little is"


def _size(count: int) -> str:
    """A number of bytes with a unit."""
    for unit, worth in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= worth:
            return f"{count / worth:.1f} {unit}"
    return f"{count} bytes"


def listed(content: bytes) -> list[Any]:
    """[size, sha256] of a file's content, as in a manifest."""
    return [len(content), hashlib.sha256(content).hexdigest()]
