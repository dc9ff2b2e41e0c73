"""The table of the numbers of a figure; what is the same for all rows is stated once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from amuro.core.types import Finding
from amuro.report import formatting
from amuro.report.tables import Square, Table

MOST = 60
"""Rows that the page shows; all of them stand in findings.json."""
_NOT_COLUMNS = ("line", "x_label", "y_label", "low", "high")
_MEASURED = ("tokens", "x", "value")


def points_table(finding: Finding) -> Table | None:
    """Returns one row per point, one column per coordinate and value; what is the same for all is in the caption."""
    points = finding.points
    if not points:
        return None
    names = list(dict.fromkeys(key for point in points for key in point if key not in _NOT_COLUMNS))
    held = {name: {str(point[name]) for point in points if point.get(name) is not None} for name in names}
    names = [name for name in names if name != "tokens" or held[name]]
    constant = [name for name in names if name not in _MEASURED and len(held[name]) < 2]
    columns = sorted((name for name in names if name not in constant), key=lambda name: name not in _MEASURED)
    rows = tuple(
        (formatting.plain(str(point.get("line", ""))), tuple(_square(name, point) for name in columns))
        for point in points[:MOST]
    )
    caption = [
        f"{formatting.plain(name)} {_words(name, value)}"
        for name in constant
        if (value := _any(name, points)) is not None
    ]
    caption += [f"{len(points) - MOST} more points in findings.json"] if len(points) > MOST else []
    return Table(" · ".join(caption), tuple(formatting.plain(name) for name in columns), rows)


def _any(name: str, points: Sequence[Mapping[str, Any]]) -> Any:
    return next((value for point in points if (value := point.get(name)) is not None), None)


def _square(column: str, point: Mapping[str, Any]) -> Square:
    value = point.get(column)
    if value is None:
        return Square("not run", "hole") if column == "value" else Square("–")
    interval = formatting.interval(point.get("low"), point.get("high")) if column == "value" else ""
    return Square(_words(column, value), small=interval)


def _words(column: str, value: Any) -> str:
    if column == "tokens":
        return formatting.compact(value)
    return formatting.number(value, 3) if isinstance(value, float) else str(value)
