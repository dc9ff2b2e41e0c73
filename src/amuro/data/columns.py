"""Text out of the columns of a row: exactly what stands there, or a refusal that names the column.

Text is what a column of text holds, and a whole number, which is its digits. Nothing else becomes words by itself: a
missing value, a number with a fraction, a truth value, a date, a list or a struct is refused. Missing is null, NaN
and, in the columns that a study names, text without a letter (CSV writes every missing value so).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from amuro.core.errors import DataError

Row = Mapping[str, Any]
_MISSING = 'fill it in, or say in the task\'s table missing = "drop" (leave such rows out) or "omit" (such fields)'


class MissingError(DataError):
    """A value that is not there. A task may leave such rows out."""


class Columns(Mapping[str, Any]):
    """A row as every task reads it: what is null or NaN cannot be taken for a value. `raw` is the row as it is."""

    def __init__(self, raw: Row) -> None:
        self.raw = raw

    def __getitem__(self, column: str) -> Any:
        found = self.raw[column]
        if _is_nothing(found):
            raise _missing(column, found)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)


def value(row: Row, path: str) -> Any:
    """What a column holds, missing or not; `a.b` and `a.0` reach into a struct and a list. Raises KeyError where
    there is none, DataError where `a.b` is a column beside such a struct.
    """
    found: Any = row.raw if isinstance(row, Columns) else row
    if path in found:
        _refuse_two_meanings(found, path)
        return found[path]
    return _followed(found, path)


def _followed(found: Any, path: str) -> Any:
    for part in path.split("."):
        found = _part(found, part, path)
    return found


def _refuse_two_meanings(row: Row, path: str) -> None:
    """Raises DataError where `a.b` is a column and also a part of column `a`."""
    if "." not in path:
        return
    with suppress(KeyError, MissingError):
        _followed(row, path)
        what = f"{path} is a column, and also a part of column {path.partition('.')[0]}"
        raise DataError(what, "rename one of them")


def text(row: Row, path: str) -> str:
    """The text of a column. Raises MissingError where it is missing, DataError where it is no text."""
    return written(value(row, path), path)


def name(row: Row, path: str) -> str:
    """What tells rows or answers apart, as text: besides `text` also true, false, and a whole number kept as 3.0."""
    found = value(row, path)
    if isinstance(found, bool):
        return str(found).lower()
    return written(int(found) if isinstance(found, float) and found.is_integer() else found, path)


def texts(row: Row, path: str | Sequence[str]) -> list[Any]:
    """The values of a column that holds a list, or of several columns, as they are."""
    if not isinstance(path, str):
        return [value(row, each) for each in path]
    found = value(row, path)
    if _is_nothing(found):
        raise _missing(path, found)
    if not isinstance(found, list | tuple):
        raise DataError(
            f"column {path} holds {_shown(found)} and no list of texts",
            'name a column of lists, or one column for each, as ["A", "B"]',
        )
    return list(found)


def written(found: Any, path: str) -> str:
    """A value as text, or the refusal that `text` promises."""
    if is_missing(found):
        raise _missing(path, found)
    if isinstance(found, str):
        return found
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    raise DataError(f"column {path} holds {_shown(found)} and no text", _cure(found, path))


def is_missing(found: Any) -> bool:
    """Whether a value is null, NaN or text without a letter."""
    return _is_nothing(found) or (isinstance(found, str) and not found.strip())


def _is_nothing(found: Any) -> bool:
    return found is None or (isinstance(found, float) and found != found)  # NaN alone is unlike itself


def _missing(path: str, found: Any) -> MissingError:
    held = "null or absent" if found is None else "NaN" if isinstance(found, float) else f"empty text ({found!r})"
    return MissingError(f"column {path} is {held}", _MISSING)


def _part(found: Any, part: str, path: str) -> Any:
    if isinstance(found, Mapping) and part in found:
        return found[part]
    if isinstance(found, list | tuple) and part.isdecimal() and int(part) < len(found):
        return found[int(part)]
    if _is_nothing(found):
        raise _missing(path, found)
    raise KeyError(path)


def _shown(found: Any) -> str:
    kinds = {bool: "the truth value", float: "the number", list: "the list", tuple: "the list", dict: "the struct"}
    kind = kinds.get(type(found), f"the {type(found).__name__}")
    return f"{kind} {str(found).lower() if isinstance(found, bool) else repr(found)[:80]}"


def _cure(found: Any, path: str) -> str:
    if isinstance(found, Mapping):
        return f"name a part of it, such as {path}.{next(iter(found), 'text')}"
    if isinstance(found, list | tuple):
        return f"name one entry, such as {path}.0, or keep options there"
    if isinstance(found, bool):
        return 'say what it means: answers = { "true" = "yes", "false" = "no" }'
    return "write the column as the text that is to be read"
