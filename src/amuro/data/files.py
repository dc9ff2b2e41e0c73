"""Rows from files, strictly parsed: any fault raises DataError with the file, the line and the reason.

A folder holds one file per split (`train.jsonl`, `test.csv`, `dev.parquet`) or one folder per split as written by
`Dataset.save_to_disk`. A single file is one set: its split is called `all`, so that train and test never share rows
unnoticed. Pipes and devices are refused, because opening them could block.
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
    """The file or split does not exist (any more), so results made from it stay valid; other faults may change them."""


def read(path: str, split: str) -> list[Row]:
    """The rows of a split of `path` (`~` and `$VARIABLE` are filled in). Raises DataError: file, line and reason."""
    source = _split_path(path, split)
    rows = _aligned(_reader(source)(source))
    _refuse_double_ids(source, rows)
    return rows


def _aligned(rows: list[Row]) -> list[Row]:
    """The rows with the same columns: a column that only other rows have is null. The same holds within structs."""
    names = dict.fromkeys(name for row in rows for name in row)
    aligned = [row if len(row) == len(names) else {**dict.fromkeys(names), **row} for row in rows]
    for name in names:
        indices = [index for index, row in enumerate(aligned) if isinstance(row[name], dict)]
        structs = _aligned([aligned[index][name] for index in indices]) if indices else []
        for index, struct in zip(indices, structs, strict=True):
            aligned[index] = {**aligned[index], name: struct}
    return aligned


def sha256(path: str, split: str, memo: Path | None = None) -> str:
    """Hexadecimal sha256 of a split's file; of a folder, that of its files' names and digests.

    memo: file that caches digests, as in `core.hashing.remembered`. Raises DataError as `read` does.
    """
    source = _split_path(path, split)
    if source.is_file():
        return file_digest(source, memo)
    digests = [[file.name, file_digest(file, memo)] for file in sorted(source.iterdir()) if file.is_file()]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _split_path(path: str, split: str) -> Path:
    """The file or folder that holds a split. Raises AbsentError where there is none, DataError on a pipe or device."""
    place = Path(filled(path)).expanduser()
    if not _exists(place):
        raise AbsentError(f"file:{path:.200} does not exist", f"looked for {place.absolute()!s:.300}")
    source = _in_folder(place, split) if place.is_dir() else _single(place, split)
    if not (source.is_file() or source.is_dir()):
        raise DataError(f"{source} is no ordinary file but a pipe, a socket or a device", "save its rows in a file")
    return source


def _exists(path: Path) -> bool:
    """Whether the path exists; False also for a name that the file system cannot hold."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _single(path: Path, split: str) -> Path:
    """The path itself. Raises DataError unless its only split, `all`, is requested."""
    if split != "all":
        raise DataError(
            f"{path} is one file, and has no split '{split}'",
            f"call it all or a part such as all[:500], or name a folder that holds {split}{path.suffix}",
        )
    return path


def _in_folder(folder: Path, split: str) -> Path:
    """The file or folder of a split within `folder`.

    Raises AbsentError where there is none, DataError where there are several.
    """
    if (folder / "state.json").is_file():
        return _single(folder, split)
    candidates = [place for place in (folder / f"{split}{suffix}" for suffix in ("", *_READERS)) if _exists(place)]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise DataError(f"{folder} holds split '{split}' as {' and as '.join(p.name for p in candidates)}", "keep one")
    held = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
    raise AbsentError(f"{folder} has no split '{split:.80}'", f"it holds {held}")


def _reader(path: Path) -> Callable[[Path], list[Row]]:
    """The function that reads files with this suffix, or saved data sets. Raises DataError on an unknown suffix."""
    if path.is_dir():
        return _saved
    if path.suffix not in _READERS:
        raise DataError(f"{path} is no {', '.join(_READERS)} file", "convert it to one of them")
    return _READERS[path.suffix]


def _jsonl(path: Path) -> list[Row]:
    """Rows of a JSONL file, one object per line. Only a line feed ends a line: strings may contain U+2028 and the like.

    A byte-order mark at the start and blank lines at the end are ignored.
    """
    lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return [_json_row(path, number, line, number == len(lines)) for number, line in enumerate(lines, 1)]


def _json_row(path: Path, number: int, line: bytes, last: bool) -> Row:
    """The row in line `number`; last: whether it is the file's last line. Raises DataError."""
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
    r"""Raise UnicodeEncodeError on a lone surrogate (an escape such as \ud83d without its second half)."""
    json.dumps(row, ensure_ascii=False).encode()


def _no_json(line: bytes, bad: ValueError) -> str:
    """What is wrong with a line that is no JSON object."""
    return f"is no whole JSON object: {bad}" if line.strip() else "is blank"


def _json_cure(line: bytes, last: bool) -> str:
    """What to do about a line that is no JSON object."""
    if not line.strip():
        return "take the blank line out"
    if b"\0" in line:
        return "the line holds NUL bytes: copy the file again, as UTF-8"
    if last and not line.rstrip().endswith(b"}"):
        return "a file that was cut off while written ends so"
    return "mend the line: each is one JSON object"


def _unique(pairs: list[tuple[str, Any]]) -> Row:
    """The (key, value) pairs of a JSON object as a row. Raises DataError on a duplicate key."""
    row = dict(pairs)
    if len(row) < len(pairs):
        raise DataError(f"a key stands twice among {[key for key, _ in pairs]}", "keep one of them")
    return row


def _refuse_constant(name: str) -> None:
    """Raise DataError on NaN, Infinity and -Infinity, which Python's parser accepts."""
    raise DataError(f"{name} is not JSON", "write null where a number is missing")


def _csv(path: Path) -> list[Row]:
    """Rows of a CSV file: a header line, then rows with as many cells; every value is text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        line = bad.object[: bad.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line} is not UTF-8 (byte {bad.start})", "save the file as UTF-8") from bad
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a document may exceed csv's limit of 131,072
    try:
        return list(_csv_rows(path, reader))
    except csv.Error as bad:
        raise DataError(f"{path}, line {reader.line_num}: {bad}", "a quoted cell may never have been closed") from bad


def _csv_rows(path: Path, reader: Any) -> Iterable[Row]:
    """The rows from a `csv.reader`. Raises DataError on a faulty header, a blank line, or a wrong number of cells."""
    header: list[str] = next(reader, [])
    if len(set(header)) < len(header) or not all(header):
        raise DataError(f"{path} has the header {header}", "every column needs a name of its own")
    _refuse_other_marks(path, header)
    blank = 0
    for cells in reader:
        if not cells:  # blank lines at the end are ignored
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
    """Raise DataError where the header is a single cell that contains another usual separator (; tab |)."""
    mark = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    if mark:
        what = f"{path} has the header {header[0]!r}, whose cells seem to be parted by {mark!r}"
        raise DataError(what, "save it with commas between the cells")


def _parquet(path: Path) -> list[Row]:
    """Rows of a Parquet file."""
    import polars as pl

    try:
        return pl.read_parquet(path, glob=False).to_dicts()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as bad:
        raise DataError(
            f"{path} cannot be read as Parquet: {_first_line(bad)}", "it may be cut off; copy it again"
        ) from bad


def _saved(folder: Path) -> list[Row]:
    """Rows of a data set written by `Dataset.save_to_disk`: Arrow streams, listed in order in `state.json`."""
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
    """The table in an Arrow stream file."""
    import pyarrow as pa

    with pa.memory_map(str(regular_files.file(path))) as source:
        return pa.ipc.open_stream(source).read_all()


_READERS = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}


def _refuse_double_ids(path: Path, rows: list[Row]) -> None:
    """Raise DataError where two rows have the same id."""
    seen: dict[Any, int] = {}
    for number, row in enumerate(rows, 1):
        if row.get("id") is not None and seen.setdefault(str(row["id"]), number) != number:
            first = seen[str(row["id"])]
            raise DataError(f"{path}, rows {first} and {number} have the id {row['id']!r}", "make the ids unique")


def _first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return str(error).strip().split("\n")[0]
