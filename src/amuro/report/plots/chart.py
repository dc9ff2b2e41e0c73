"""The data of a chart, and what all kinds of chart share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from amuro.report.formatting import number

WIDTH = 420.0
NO_DIFFERENCE = "no difference"


@dataclass(frozen=True, slots=True)
class Point:
    """A measured point of a line. A value of None is a gap: planned, but not run."""

    x: float
    value: float | None
    low: float | None = None
    high: float | None = None
    seeds: tuple[float, ...] = ()
    """Values of the single runs where `value` is their mean."""


@dataclass(frozen=True, slots=True)
class Line:
    """A named series of points; `css` is its colour class."""

    name: str
    css: str
    points: tuple[Point, ...]
    short: str = ""
    """What stands beside it, where the whole name says more than is needed."""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A horizontal line for comparison: chance, majority, no difference."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """The data of a chart. With `categories`, x is their index and the chart has one row per category."""

    name: str
    title: str
    lines: tuple[Line, ...]
    references: tuple[Reference, ...] = ()
    x_label: str = ""
    y_label: str = ""
    categories: tuple[str, ...] = ()
    logarithmic: bool = True
    unit: bool = False
    """Values are shares: the axis goes from 0 to 1."""
    checkpoints: Mapping[float, str] = field(default_factory=dict)
    """x → the checkpoint there in words, where there is more to say than the tokens."""

    @property
    def empty(self) -> bool:
        """Whether no point has a value."""
        return all(point.value is None for drawn in self.lines for point in drawn.points)


def span(chart: Chart) -> tuple[float, float]:
    """Returns the range of the value axis: 0 to 1 for shares, else the range of the values, with
    zero if it is near.
    """
    if chart.unit:
        return 0.0, 1.0
    values = [reference.value for reference in chart.references]
    for drawn in chart.lines:
        for point in drawn.points:
            values += [v for v in (point.value, point.low, point.high, *point.seeds) if v is not None]
    low, high = min(values), max(values)
    return (0.0 if 0 <= low < 0.4 * high else low), high if high > low else low + 1.0


def merge_references(references: Sequence[Reference], near: float) -> list[tuple[str, float]]:
    """Returns (words, value); references closer together than `near` share one label."""
    merged: list[tuple[list[str], float]] = []
    for reference in sorted(references, key=lambda r: r.value):
        if merged and abs(merged[-1][1] - reference.value) <= near:
            merged[-1][0].append(reference.name)
        else:
            merged.append(([reference.name], reference.value))
    return [(", ".join(names) + ("" if names == [NO_DIFFERENCE] else f" {number(v)}"), v) for names, v in merged]


def reference_css(reference: Reference) -> str:
    """Returns the class of a reference: chance and majority have their own strokes."""
    return f"reference {reference.name if reference.name in ('chance', 'majority') else 'other'}"
