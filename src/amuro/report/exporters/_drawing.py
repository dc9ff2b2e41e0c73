"""Draws a chart for print with matplotlib: one column wide, in colours that colour-blind readers can distinguish."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from amuro.report.exporters import _print_style as style
from amuro.report.formatting import compact, number
from amuro.report.plots.chart import Chart, Line, Point, Reference, merge_references, span
from amuro.report.plots.svg import log_places, nice_ticks, printable, shorten


def picture(chart: Chart) -> dict[str, bytes]:
    """Returns file ending → the chart as a vector file. At least one point must have a value."""
    with rc_context(style.LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure = draw(chart)
        figure.draw_without_rendering()  # places everything once, for both files
        figure.set_layout_engine("none")
        return {ending: _saved(figure, ending) for ending in style.FORMATS}


def _saved(figure: Figure, ending: str) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format=ending, metadata=style.FORMATS[ending])
    return buffer.getvalue()


def draw(chart: Chart) -> Figure:
    """Returns the chart as a matplotlib figure: rows for named categories, else over tokens or a number."""
    lanes = len(chart.categories) * (len(chart.lines) + 1) * style.LANE
    figure = Figure(
        figsize=(style.WIDTH, max(style.HEIGHT * 0.6, 0.9 + lanes) if chart.categories else style.HEIGHT),
        layout="constrained",
    )
    axes = figure.add_subplot()
    marks = (_rows if chart.categories else _over)(axes, chart)
    strokes = list(_references(axes, chart))
    if len(chart.lines) > 1 or strokes:
        handles = [*(marks if len(chart.lines) > 1 else []), *strokes]
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = 1 if longest > style.LONG_NAME else 2
        figure.legend(handles=handles, loc="outside upper left", ncols=columns, frameon=False, handlelength=1.8,
                      columnspacing=1.2, borderaxespad=0.1)  # fmt: skip
    return figure


def _over(axes: Axes, chart: Chart) -> list[Line2D]:
    """Draws lines over x; on a log axis zero has its own place."""
    places, ticks = _places(chart)
    gap = 0.012 * (max(places.values()) - min(places.values()) or 1.0)
    marks = [
        _line(axes, drawn, k, {x: place + gap * (k - (len(chart.lines) - 1) / 2) for x, place in places.items()})
        for k, drawn in enumerate(chart.lines)
    ]
    axes.set_xticks(list(ticks), list(ticks.values()))
    if chart.logarithmic and 0 in places and len(places) > 1:  # zero stands apart: the axis is broken behind it
        axes.text(sorted(places.values())[1] / 2, 0, "//", transform=axes.get_xaxis_transform(), ha="center",
                  va="center", fontsize=6, color=style.INK)  # fmt: skip
    elif not chart.logarithmic:
        axes.set_xlim(*_reach(list(ticks)))
    axes.set_xlabel(_words(chart.x_label, 60))
    axes.set_ylabel(_words(chart.y_label, 44))
    values = nice_ticks(*span(chart))
    axes.set_yticks(values)
    axes.set_ylim(*_reach(values))
    return marks


def _reach(ticks: Sequence[float]) -> tuple[float, float]:
    """Returns the range from the first tick to the last with a margin."""
    air = 0.025 * (ticks[-1] - ticks[0])
    return ticks[0] - air, ticks[-1] + air


def _places(chart: Chart) -> tuple[dict[float, float], dict[float, str]]:
    """Returns the places of the measured x, and place → tick label; labels that would touch are left out."""
    values = sorted({point.x for drawn in chart.lines for point in drawn.points})
    if not chart.logarithmic:
        ticks = nice_ticks(values[0], values[-1])
        return {value: value for value in values}, {tick: number(tick) for tick in ticks}
    places, words, free = log_places(values, 0.0, 1.0), dict[float, str](), 2.0
    for value in reversed(values):
        text = compact(value) if value >= 0 else "not counted"
        half = 0.011 * len(text) + 0.012
        words[places[value]] = text if places[value] + half <= free else ""
        free = places[value] - half if words[places[value]] else free
    return places, words


def _line(axes: Axes, drawn: Line, k: int, places: Mapping[float, float]) -> Line2D:
    """Draws one line with error bars, single runs, and a cross at the bottom for cells that have not run."""
    look = _look(drawn, k)
    for segment in _segments(drawn.points):
        axes.plot([places[p.x] for p in segment], [p.value or 0.0 for p in segment], **look)
    for point in drawn.points:
        x = places[point.x]
        if point.value is None:
            axes.plot([x], [0.03], "x", color=look["color"], markersize=3.5, transform=axes.get_xaxis_transform())
        else:
            axes.plot([x] * len(point.seeds), point.seeds, ".", color=look["color"], markersize=2, alpha=0.5)
    known = _known(drawn)
    if known:
        _bars(axes, look, x=[places[p.x] for p in known], y=[p.value for p in known], yerr=_arms(known))
    return Line2D([], [], **look, label=_words(drawn.short or drawn.name, 34))


def _known(drawn: Line) -> list[Point]:
    """Returns the points with an interval."""
    return [p for p in drawn.points if p.value is not None and p.low is not None and p.high is not None]


def _arms(points: Sequence[Point]) -> list[list[float]]:
    """Returns the distances from each value to the ends of its interval."""
    known = [(p.value or 0.0, p.low or 0.0, p.high or 0.0) for p in points]
    return [[max(0.0, value - low) for value, low, _ in known], [max(0.0, high - value) for value, _, high in known]]


def _bars(axes: Axes, look: Mapping[str, Any], **places: Any) -> None:
    axes.errorbar(**places, fmt="none", ecolor=look["color"], elinewidth=0.7, capsize=1.4)


def _segments(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Yields the points between gaps: nothing is drawn across points that have not run."""
    segment: list[Point] = []
    for point in [*sorted(points, key=lambda p: p.x), None]:
        if point is not None and point.value is not None:
            segment.append(point)
        elif segment:
            yield segment
            segment = []


def _look(drawn: Line, k: int) -> dict[str, Any]:
    colour = style.COLOURS.get(drawn.css, style.INK)
    return {"color": colour, "marker": style.MARKERS[k % len(style.MARKERS)], "markersize": 3.4, "linewidth": 1.1,
            "linestyle": "--" if drawn.dashed else "-", "markerfacecolor": "white" if drawn.dashed else colour,
            "markeredgewidth": 0.8}  # fmt: skip


def _rows(axes: Axes, chart: Chart) -> list[Line2D]:
    """Draws one row per category and one lane per line, the first on top."""
    lanes, marks = len(chart.lines) + 1, []
    for k, drawn in enumerate(chart.lines):
        look = _look(drawn, k) | {"linestyle": "none"}
        for point in drawn.points:
            y = -(point.x * lanes + k)
            if point.value is None:
                axes.plot([0.01], [y], "x", color=look["color"], markersize=3.5, transform=axes.get_yaxis_transform())
                continue
            axes.plot([point.value], [y], **look)
        known = _known(drawn)
        if known:
            _bars(axes, look, x=[p.value for p in known], y=[-(p.x * lanes + k) for p in known], xerr=_arms(known))
        marks.append(Line2D([], [], **look, label=_words(drawn.short or drawn.name, 34)))
    middles = [-(row * lanes + (lanes - 2) / 2) for row in range(len(chart.categories))]
    axes.set_yticks(middles, [_words(name, 28) for name in chart.categories])
    axes.set_ylim(-(len(chart.categories) * lanes) + 0.5, 1)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(_words(chart.y_label, 60))
    ticks = nice_ticks(*span(chart))
    axes.set_xticks(ticks)
    axes.set_xlim(*_reach(ticks))
    return marks


def _references(axes: Axes, chart: Chart) -> Iterator[Line2D]:
    """Draws chance, majority and no difference, each in its own stroke with a legend; equal ones share a label."""
    straight = axes.axvline if chart.categories else axes.axhline
    strokes = _strokes(chart.references)
    looks = {r.value: {"color": style.SOFT, "linewidth": 0.8, "linestyle": strokes[r.name]} for r in chart.references}
    for value, look in looks.items():
        straight(value, **look, zorder=0)
    low, high = span(chart)
    for words, value in merge_references(chart.references, near=(high - low) / 1000):
        yield Line2D([], [], **looks[value], label=_words(words, 40))


def _strokes(references: Sequence[Reference]) -> dict[str, Any]:
    others = [reference.name for reference in references if reference.name not in style.STROKES]
    return style.STROKES | {name: style.OTHER_STROKES[k % len(style.OTHER_STROKES)] for k, name in enumerate(others)}


def _words(text: str, characters: int) -> str:
    return printable(shorten(text, characters))
