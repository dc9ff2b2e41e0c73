"""The header of a safetensors file, checked before any library reads it.

Layout (https://huggingface.co/docs/safetensors): 8 bytes little-endian length, that many bytes of JSON
{name: {dtype, shape, data_offsets}}, then the data, which the offsets cover without gap or overlap.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from amuro.core.errors import WeightsError

_MOST = 2**63 - 1
"""The largest size that the library can count."""
_DEEPEST = 64
"""Dimensions; no tensor of torch has more that can be computed with."""
HEADER_LIMIT = 100_000_000
"""Bytes; the same cap as the library's."""

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file: `start` and `length` in bytes, `start` counted from the beginning of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    length: int


def read_header(path: Path) -> tuple[Entry, ...]:
    """The tensors of a file in the order of their bytes.

    Raises WeightsError, with file and fault, if the header is too long or no JSON, a dtype is unknown, a shape does not
    match the number of bytes, bytes overlap or belong to no tensor, or the file is truncated.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(HEADER_LIMIT, size - 8):
            raise _bad(path, f"the header claims {length:,} bytes in a file of {size:,}")
        text = file.read(length)
    entries = [_entry(path, name, value, 8 + length) for name, value in _table(path, text).items()]
    entries.sort(key=lambda entry: (entry.start, entry.length))
    _check_coverage(path, entries, begin=8 + length, end=size)
    return tuple(entries)


def _table(path: Path, text: bytes) -> dict[str, Any]:
    """The header as {tensor: entry}, without metadata. Raises WeightsError where it is malformed."""
    try:
        table = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"the header is no valid JSON ({error})") from error
    if not isinstance(table, dict):
        raise _bad(path, "the header is no JSON object")
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _bad(path, "its __metadata__ is no table of texts")
    return table


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dict. Raises ValueError on a duplicate key."""
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _entry(path: Path, name: str, value: Any, data: int) -> Entry:
    """The checked entry of a tensor; data: offset of the data in the file. Raises WeightsError."""
    try:
        dtype, shape, (start, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        bits = _BITS[dtype]
        bounded = len(shape) <= _DEEPEST and all(_is_size(number) for number in (*shape, start, end))
    except (KeyError, TypeError, ValueError) as error:
        raise _bad(path, f"the entry of tensor '{name}' cannot be read: {value!r:.200}") from error
    if not bounded or bits * prod(shape) != 8 * (end - start):  # bounded first: the product stays small
        fault = f"({dtype}, shape {list(shape)!r:.80}) does not fit its bytes {start!r:.20}–{end!r:.20}"
        raise _bad(path, f"tensor '{name}' {fault}")
    return Entry(name, dtype, shape, data + start, end - start)


def _is_size(number: Any) -> bool:
    """Whether it is an integer that can be a size or an offset."""
    return type(number) is int and 0 <= number <= _MOST


def _check_coverage(path: Path, entries: list[Entry], begin: int, end: int) -> None:
    """Raise WeightsError unless the tensors cover the bytes from `begin` to `end` without gap or overlap."""
    for entry in entries:
        if entry.start != begin:
            fault = "overlaps the tensor before it" if entry.start < begin else "leaves a gap before it"
            raise _bad(path, f"tensor '{entry.name}' {fault}")
        begin = entry.start + entry.length
    if begin != end:
        raise _bad(path, f"the tensors end at byte {begin:,}, the file at {end:,}")


def _bad(path: Path, fault: str) -> WeightsError:
    """The error for a malformed file."""
    return WeightsError(f"{path} is no sound safetensors file: {fault}", "fetch or save it again")
