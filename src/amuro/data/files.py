"""Rows from files, strictly: whatever cannot be read whole stops with the file, the line and the reason.

A folder holds one file a split (`train.jsonl`, `test.csv`, `dev.parquet`) or one folder a split as
`Dataset.save_to_disk` leaves it. A single file is one set: its split is called `all`, so that train and test
never silently share rows. Pipes and devices are no data: they are refused, never waited for.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from amuro.core import regular_files
from amuro.core.environment import filled
from amuro.core.errors import DataError
from amuro.core.hashing import file_digest

Row = dict[str, Any]


class AbsentError(DataError):
    """Nothing is there: what was made of it stays as it is. Of what is there, and is no data, that does not hold."""


def read(path: str, split: str) -> list[Row]:
    """The rows of a split of `path` (`~` and `$VARIABLE` are filled in). Raises DataError: file, line and reason."""
    found = _found(path, split)
    rows = _aligned(_reader(found)(found))
    _refuse_double_ids(found, rows)
    return rows


def _aligned(rows: list[Row]) -> list[Row]:
    """The rows with every column that one of them has, as a table has it: what a row lacks is null. Structs alike."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = [row if len(row) == len(names) else {**dict.fromkeys(names), **row} for row in rows]
    for name in names:
        holding = [place for place, row in enumerate(found) if isinstance(row[name], dict)]
        structs = _aligned([found[place][name] for place in holding]) if holding else []
        for place, struct in zip(holding, structs, strict=True):
            found[place] = {**found[place], name: struct}
    return found


def sha256(path: str, split: str, memo: Path | None = None) -> str:
    """Of the bytes of a split's file, or of the names and digests of its files. Raises DataError as `read` does.

    `memo` remembers digests of files as `identity.remembered` does.
    """
    found = _found(path, split)
    if found.is_file():
        return file_digest(found, memo)
    members = [[member.name, file_digest(member, memo)] for member in sorted(found.iterdir()) if member.is_file()]
    return hashlib.sha256(json.dumps(members).encode()).hexdigest()


def _found(path: str, split: str) -> Path:
    place = Path(filled(path)).expanduser()
    if not _exists(place):
        raise AbsentError(f"file:{path:.200} does not exist", f"looked for {place.absolute()!s:.300}")
    found = _in_folder(place, split) if place.is_dir() else _single(place, split)
    if not (found.is_file() or found.is_dir()):
        raise DataError(f"{found} is no ordinary file but a pipe, a socket or a device", "save its rows in a file")
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long or that no file system can hold
        return False


def _single(path: Path, split: str) -> Path:
    if split != "all":
        raise DataError(
            f"{path} is one file, and split '{split}' was asked of it",
            f"call it all or a part such as all[:500], or name a folder that holds {split}{path.suffix}",
        )
    return path


def _in_folder(folder: Path, split: str) -> Path:
    if (folder / "state.json").is_file():
        return _single(folder, split)
    found = [place for place in (folder / f"{split}{suffix}" for suffix in ("", *_READERS)) if _exists(place)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{folder} holds split '{split}' as {' and as '.join(p.name for p in found)}", "keep one")
    held = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
    raise AbsentError(f"{folder} has no split '{split:.80}'", f"it holds {held}")


def _reader(path: Path) -> Callable[[Path], list[Row]]:
    if path.is_dir():
        return _saved
    if path.suffix not in _READERS:
        raise DataError(f"{path} is no {', '.join(_READERS)} file", "convert it to one of them")
    return _READERS[path.suffix]


def _jsonl(path: Path) -> list[Row]:
    """One object a line. Only a line feed ends a line: U+2028 and the like may stand inside a string.

    A byte-order mark at the start and blank lines at the end are no rows.
    """
    lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return [_json_row(path, number, line, number == len(lines)) for number, line in enumerate(lines, 1)]


def _json_row(path: Path, number: int, line: bytes, last: bool) -> Row:
    place = f"{path}, line {number}"
    try:
        row = json.loads(line.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        _refuse_half_characters(row if b"\\u" in line else None)
    except UnicodeDecodeError as bad:
        raise DataError(f"{place} is not UTF-8 (byte {bad.start})", "save the file as UTF-8") from bad
    except UnicodeEncodeError as bad:
        raise DataError(f"{place} holds half a character: {bad.object[bad.start]!a}", "write the whole one") from bad
    except RecursionError as bad:
        raise DataError(f"{place} is nested too deeply", "flatten it: a row is one object of columns") from bad
    except DataError as bad:
        raise DataError(f"{place} cannot be read: {bad.message}", bad.cure) from bad
    except ValueError as bad:
        raise DataError(f"{place} {_no_json(line, bad)}", _json_cure(line, last)) from bad
    if not isinstance(row, dict):
        raise DataError(f"{place} is no object but {type(row).__name__}", 'write {"field": value, …}')
    return row


def _refuse_half_characters(row: Any) -> None:
    """Raises UnicodeEncodeError: an escape such as backslash-ud83d, half of a character, is no text."""
    json.dumps(row, ensure_ascii=False).encode()


def _no_json(line: bytes, bad: ValueError) -> str:
    return f"is no whole JSON object: {bad}" if line.strip() else "is blank"


def _json_cure(line: bytes, last: bool) -> str:
    if not line.strip():
        return "take the blank line out"
    if b"\0" in line:
        return "the line holds NUL bytes: copy the file again, as UTF-8"
    if last and not line.rstrip().endswith(b"}"):
        return "a file that was cut off while written ends so"
    return "mend the line: each is one JSON object"


def _unique(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise DataError(f"a key stands twice among {[key for key, _ in pairs]}", "keep one of them")
    return row


def _refuse_constant(name: str) -> None:
    raise DataError(f"{name} is not JSON", "write null where a number is missing")


def _csv(path: Path) -> list[Row]:
    """A header line, then rows of the same number of cells; every value is text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        line = bad.object[: bad.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line} is not UTF-8 (byte {bad.start})", "save the file as UTF-8") from bad
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a document may be longer than csv's 131,072
    try:
        return list(_csv_rows(path, reader))
    except csv.Error as bad:
        raise DataError(f"{path}, line {reader.line_num}: {bad}", "a quoted cell may never have been closed") from bad


def _csv_rows(path: Path, reader: Any) -> Iterable[Row]:
    header: list[str] = next(reader, [])
    if len(set(header)) < len(header) or not all(header):
        raise DataError(f"{path} has the header {header}", "every column needs a name of its own")
    _refuse_other_marks(path, header)
    blank = 0
    for cells in reader:
        if not cells:  # blank lines at the end are no rows
            blank = blank or reader.line_num
            continue
        if blank:
            raise DataError(f"{path}, line {blank} is blank", "take the blank line out")
        if len(cells) != len(header):
            many = "quote cells that hold a comma or a line break"
            few = "the line may be cut off; an empty cell needs its comma"
            raise DataError(
                f"{path}, line {reader.line_num} has {len(cells)} cells where the header has {len(header)}",
                many if len(cells) > len(header) else few,
            )
        yield dict(zip(header, cells, strict=True))


def _refuse_other_marks(path: Path, header: list[str]) -> None:
    """Raises DataError where the one cell of a header holds what other programs part cells by."""
    mark = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    if mark:
        what = f"{path} has the header {header[0]!r}, whose cells seem to be parted by {mark!r}"
        raise DataError(what, "save it with commas between the cells")


def _parquet(path: Path) -> list[Row]:
    import polars as pl

    try:
        return pl.read_parquet(path, glob=False).to_dicts()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as bad:
        raise DataError(
            f"{path} cannot be read as Parquet: {_first_line(bad)}", "it may be cut off; copy it again"
        ) from bad


def _saved(folder: Path) -> list[Row]:
    """A data set as `Dataset.save_to_disk` leaves it: Arrow streams, named in order in `state.json`."""
    import pyarrow as pa

    try:
        state = json.loads(regular_files.content(folder / "state.json"))
        tables = [_arrow(folder / part["filename"]) for part in state["_data_files"]]
        return list(pa.concat_tables(tables).to_pylist()) if tables else []
    except (OSError, ValueError, KeyError, TypeError, RecursionError, pa.ArrowException) as bad:
        raise DataError(
            f"{folder} cannot be read as a saved data set: {_first_line(bad)}", "copy it again, with its state.json"
        ) from bad


def _arrow(path: Path) -> Any:
    import pyarrow as pa

    with pa.memory_map(str(regular_files.file(path))) as source:
        return pa.ipc.open_stream(source).read_all()


_READERS = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}


def _refuse_double_ids(path: Path, rows: list[Row]) -> None:
    seen: dict[Any, int] = {}
    for number, row in enumerate(rows, 1):
        if row.get("id") is not None and seen.setdefault(str(row["id"]), number) != number:
            first = seen[str(row["id"])]
            raise DataError(f"{path}, rows {first} and {number} have the id {row['id']!r}", "make the ids unique")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
