"""Digests of plain data (by canonical JSON) and of weights (by tensor bytes), without torch.

A tensor digest covers name, dtype, shape and bytes of every tensor. It does not depend on sharding, file names or
metadata (safetensors writes metadata in varying order, so the hash of a file would not be stable).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from amuro.core import regular_files
from amuro.core.errors import WeightsError
from amuro.core.safetensors_header import Entry, read_header
from amuro.core.weights import weight_files

_CHUNK = 8 << 20
_PIECES, _PIECE = 64, 4096
_SETTLED_NS = 2_000_000_000
"""A file changed within two seconds of its hashing could change again without a new time stamp."""


def canonical(value: Any) -> bytes:
    """The canonical JSON text of plain data: keys sorted, -0.0 as 0.0, no blanks, ASCII.

    Texts are not normalised: composed and decomposed letters give different tokens, hence are different inputs. Whole
    numbers and floats differ (1 is not 1.0). Raises TypeError on anything but plain data (sets, numpy scalars, paths),
    ValueError on NaN or infinity.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest(value: Any) -> str:
    """sha256 of the canonical JSON, 64 hexadecimal digits. Errors as in `canonical`."""
    return hashlib.sha256(canonical(value)).hexdigest()


def tensor_digest(folder: Path, memo: Path | None = None) -> str:
    """The digest of all weights of a checkpoint folder, independent of sharding. `memo` as in `remembered`."""
    return weights_digests(folder, memo)[0]


def weights_digests(folder: Path, memo: Path | None = None) -> tuple[str, dict[str, str]]:
    """(`tensor_digest`, {weights file: digest of its tensors}). `memo` as in `remembered`."""

    def computed() -> list[Any]:
        by_file = _digests_by_file(folder)
        total = digest({name: tensor for tensors in by_file.values() for name, tensor in tensors.items()})
        return [total, {name: digest(tensors) for name, tensors in by_file.items()}]

    total, shards = remembered(memo, f"tensors of {folder.resolve()}", weight_files(folder), computed)
    return total, shards


def file_digest(path: Path, memo: Path | None = None) -> str:
    """Hexadecimal sha256 of a file's bytes. `memo` as in `remembered`. Raises OSError where it cannot be read."""

    def computed() -> str:
        with regular_files.file(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return str(remembered(memo, str(path.resolve()), [path], computed))


def remembered(memo: Path | None, name: str, paths: Sequence[Path], compute: Callable[[], Any]) -> Any:
    """The result of `compute` (plain data) on the files; cached in the JSON file `memo` until one of them changes.

    name: key of the result in `memo`. A change shows in size, mtime, ctime or inode. Files that changed within the last
    two seconds are not cached. A `memo` that is damaged or cannot be written is ignored.
    """
    stamp = _stamp(paths)
    known = _read_memo(memo).get(name)
    if isinstance(known, list) and len(known) == 2 and known[0] == stamp and _is_settled(stamp):
        return known[1]
    result = compute()
    if memo and memo.parent.is_dir() and _is_settled(stamp) and _stamp(paths) == stamp:
        with suppress(OSError):  # a read-only store
            _write_memo(memo, {**_read_memo(memo), name: [stamp, result]})
    return result


def sample_digest(folder: Path) -> str:
    """Digest of the header and of 64 short pieces of each weights file.

    It is cheap, and differs between weights in all but contrived cases. It serves in addresses; keys of results are
    computed from `tensor_digest`.
    """
    return digest([_sample(path) for path in weight_files(folder)])


def _plain(value: Any) -> Any:
    """The value with lists for tuples and 0.0 for -0.0. Raises TypeError on anything but plain data."""
    kind = type(value)
    if value is None or kind in (str, bool, int):
        return value
    if kind is float:
        return value + 0.0  # -0.0 + 0.0 is 0.0
    if isinstance(value, Mapping):
        return {_text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    """The value if it is a text. Raises TypeError on anything else."""
    if type(value) is not str:
        raise TypeError(f"{value!r} ({type(value).__name__}) is no plain data")
    return value


def _digests_by_file(folder: Path) -> dict[str, dict[str, str]]:
    """Weights file → {tensor: digest of its dtype, shape and bytes}. Raises WeightsError as `tensor_digests`."""
    by_file: dict[str, dict[str, str]] = {}
    for path in weight_files(folder):
        entries = read_header(path)
        for entry in entries:
            if any(entry.name in tensors for tensors in by_file.values()):
                raise WeightsError(f"{folder} holds tensor '{entry.name}' in two files", "save the checkpoint again")
        by_file[path.name] = {entry.name: digest([entry.dtype, entry.shape, _sha256(path, entry)]) for entry in entries}
    return by_file


def _sha256(path: Path, entry: Entry) -> str:
    """Hexadecimal sha256 of a tensor's bytes. Raises WeightsError where the file is shorter than its header states."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(entry.start)
        left = entry.length
        while left and (chunk := file.read(min(left, _CHUNK))):
            state.update(chunk)
            left -= len(chunk)
    if left:
        raise WeightsError(f"{path} became shorter while it was read", "wait until it is written, then try again")
    return state.hexdigest()


def _sample(path: Path) -> list[str]:
    """[digest of the header, sha256 of 64 evenly spaced pieces of 4,096 bytes] of a weights file."""
    entries = read_header(path)
    header = digest([[entry.name, entry.dtype, entry.shape] for entry in entries])
    state = hashlib.sha256()
    begin, end = (entries[0].start, entries[-1].start + entries[-1].length) if entries else (0, 0)
    with path.open("rb") as file:
        for i in range(_PIECES):
            file.seek(begin + (end - begin) * i // _PIECES)
            state.update(file.read(min(_PIECE, (end - begin) // _PIECES + 1)))
    return [header, state.hexdigest()]


def _stamp(paths: Sequence[Path]) -> list[list[int]]:
    """[size, mtime in ns, ctime in ns, inode] of each file."""
    stats = [path.stat() for path in paths]
    return [[stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino] for stat in stats]


def _is_settled(stamp: list[list[int]]) -> bool:
    """Whether no file changed within the last two seconds."""
    newest = max((max(mtime, ctime) for _, mtime, ctime, _ in stamp), default=0)
    return time.time_ns() - newest > _SETTLED_NS


def _read_memo(memo: Path | None) -> dict[str, Any]:
    """The cached results; empty where the file does not exist or is damaged."""
    try:
        content = json.loads(memo.read_bytes()) if memo and memo.is_file() else {}
        known, check = content["known"], content["check"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return known if isinstance(known, dict) and check == digest(known) else {}


def _write_memo(memo: Path, known: Mapping[str, Any]) -> None:
    """Write the cached results atomically."""
    draft = memo.with_name(f"{memo.name}.{os.getpid()}")
    draft.write_bytes(canonical({"known": known, "check": digest(known)}))
    draft.replace(memo)
