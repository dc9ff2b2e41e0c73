"""Values of a row's columns as text, unchanged, or an error that names the column.

Text columns and whole numbers (as digits) count as text. Nothing else is converted: a missing value, a number with a
fraction, a boolean, a date, a list or a struct raises DataError. Missing are null, NaN and, in columns that a study
names, blank text (a missing value in CSV).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from amuro.core.errors import DataError

Row = Mapping[str, Any]
_MISSING = 'fill it in, or say in the task\'s table missing = "drop" (leave such rows out) or "omit" (such fields)'


class MissingError(DataError):
    """A value is missing. A task may drop such rows."""


class Columns(Mapping[str, Any]):
    """A row in which reading a null or NaN value raises MissingError. `raw` is the row itself."""

    def __init__(self, raw: Row) -> None:
        self.raw = raw

    def __getitem__(self, column: str) -> Any:
        """The value of a column. Raises MissingError where it is null or NaN, KeyError where there is no column."""
        content = self.raw[column]
        if _is_nothing(content):
            raise _missing(column, content)
        return content

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)


def value(row: Row, path: str) -> Any:
    """The value of a column, missing or not; `a.b` and `a.0` name a part of a struct and an entry of a list.

    Raises KeyError where there is no such column or part, MissingError where a part's column is missing, and DataError
    where `a.b` is both a column and a part of column `a`.
    """
    raw: Any = row.raw if isinstance(row, Columns) else row
    if path in raw:
        _refuse_two_meanings(raw, path)
        return raw[path]
    return _followed(raw, path)


def _followed(content: Any, path: str) -> Any:
    """The part of nested structs and lists that a dotted path names; errors as in `value`."""
    for part in path.split("."):
        content = _part(content, part, path)
    return content


def _refuse_two_meanings(row: Row, path: str) -> None:
    """Raise DataError where `a.b` is a column and also a part of column `a`."""
    if "." not in path:
        return
    with suppress(KeyError, MissingError):
        _followed(row, path)
        what = f"{path} is a column, and also a part of column {path.partition('.')[0]}"
        raise DataError(what, "rename one of them")


def text(row: Row, path: str) -> str:
    """The text of a column, unchanged. Raises MissingError where it is missing, DataError where it is no text."""
    return written(value(row, path), path)


def name(row: Row, path: str) -> str:
    """A column that identifies a row or an answer, as text; unlike `text` it also takes booleans, and 3.0 as 3."""
    content = value(row, path)
    if isinstance(content, bool):
        return str(content).lower()
    return written(int(content) if isinstance(content, float) and content.is_integer() else content, path)


def texts(row: Row, path: str | Sequence[str]) -> list[Any]:
    """The entries of a column of lists, or the values of several columns, unconverted.

    Raises MissingError where the column of lists is missing, DataError where it holds no list.
    """
    if not isinstance(path, str):
        return [value(row, column) for column in path]
    content = value(row, path)
    if _is_nothing(content):
        raise _missing(path, content)
    if not isinstance(content, list | tuple):
        raise DataError(
            f"column {path} holds {_shown(content)} and no list of texts",
            'name a column of lists, or one column for each, as ["A", "B"]',
        )
    return list(content)


def written(content: Any, path: str) -> str:
    """A value of column `path` as text. Raises MissingError where it is missing, DataError where it is no text."""
    if is_missing(content):
        raise _missing(path, content)
    if isinstance(content, str):
        return content
    if isinstance(content, int) and not isinstance(content, bool):
        return str(content)
    raise DataError(f"column {path} holds {_shown(content)} and no text", _cure(content, path))


def is_missing(content: Any) -> bool:
    """Whether a value is null, NaN or blank text."""
    return _is_nothing(content) or (isinstance(content, str) and not content.strip())


def _is_nothing(content: Any) -> bool:
    """Whether a value is null or NaN."""
    return content is None or (isinstance(content, float) and content != content)  # only NaN is unequal to itself


def _missing(path: str, content: Any) -> MissingError:
    """The error for a missing value."""
    held = "null or absent" if content is None else "NaN" if isinstance(content, float) else f"empty text ({content!r})"
    return MissingError(f"column {path} is {held}", _MISSING)


def _part(content: Any, part: str, path: str) -> Any:
    """The field of a struct or the entry of a list; errors as in `value`. path: the whole path, for messages."""
    if isinstance(content, Mapping) and part in content:
        return content[part]
    if isinstance(content, list | tuple) and part.isdecimal() and int(part) < len(content):
        return content[int(part)]
    if _is_nothing(content):
        raise _missing(path, content)
    raise KeyError(path)


def _shown(content: Any) -> str:
    """A value with its type for a message, cut at 80 characters."""
    kinds = {bool: "the truth value", float: "the number", list: "the list", tuple: "the list", dict: "the struct"}
    kind = kinds.get(type(content), f"the {type(content).__name__}")
    return f"{kind} {str(content).lower() if isinstance(content, bool) else repr(content)[:80]}"


def _cure(content: Any, path: str) -> str:
    """What to do about a value that is no text."""
    if isinstance(content, Mapping):
        return f"name a part of it, such as {path}.{next(iter(content), 'text')}"
    if isinstance(content, list | tuple):
        return f"name one entry, such as {path}.0, or keep options there"
    if isinstance(content, bool):
        return 'say what it means: answers = { "true" = "yes", "false" = "no" }'
    return "write the column as the text that is to be read"
