"""Line charts over pre-training: bands for intervals, gaps for missing points, names beside the last point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from amuro.report.formatting import compact, interval, number
from amuro.report.plots import svg
from amuro.report.plots.chart import WIDTH, Chart, Line, Point, merge_references, reference_css, span
from amuro.report.plots.svg import Scale, along, element, line, path, shorten, text
from amuro.report.plots.svg_axes import BOTTOM, HEIGHT, LEFT, TOP, grid, x_axis
from amuro.report.plots.svg_markers import mark

LABEL_GAP = 13.0
BOLD = 7.0
"""Width of an average bold character."""
MARK = 12.0
"""Room for the mark of a line before its name."""


class Label(NamedTuple):
    """A label at the right of a chart; that of a reference has no colour and no mark."""

    words: str
    height: float
    hint: str
    colour: str = ""

    @property
    def width(self) -> float:
        """The width of the label."""
        return MARK + BOLD * len(self.words) if self.colour else svg.CHARACTER * len(self.words)


def line_chart(chart: Chart) -> Markup:
    """Returns the chart as inline SVG; at least one point must have a value."""
    low, high = span(chart)
    ticks = svg.nice_ticks(low, high)
    y = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    labels = _labels(chart, y)
    right = WIDTH - 10 - max(label.width for label in labels)
    values = sorted({point.x for drawn in chart.lines for point in drawn.points})
    places = _places(values, LEFT + 12, right - 8, chart.logarithmic)
    layers = [
        *grid(ticks, y, right),
        *x_axis(chart.x_label, {_place_words(chart, value): place for value, place in places.items()}, right),
        *(line(LEFT, y(r.value), right, y(r.value), reference_css(r)) for r in chart.references),
        along(*(_band(drawn, places, y, faint=len(chart.lines) > 3) for drawn in chart.lines)),
        *(_stroke(chart, drawn, places, y) for drawn in chart.lines),
        *_label_texts(labels, right),
        text(chart.y_label, 2, 12, "label"),
    ]
    return svg.image(chart.name, chart.title, WIDTH, HEIGHT, *layers, places=places if chart.logarithmic else None)


def _places(values: Sequence[float], start: float, end: float, logarithmic: bool) -> dict[float, float]:
    if logarithmic:
        return svg.log_places(values, start, end)
    if len(values) == 1:
        return {values[0]: (start + end) / 2}
    scale = Scale(values[0], values[-1], start, end)
    return {value: scale(value) for value in values}


def _place_words(chart: Chart, value: float) -> str:
    if chart.logarithmic and value < 0:  # a checkpoint whose step nobody counted
        return "not counted"
    return compact(value) if chart.logarithmic else number(value)


def _segments(drawn: Line) -> list[list[Point]]:
    """Returns the points between gaps: no line is drawn across points that have not run."""
    segments: list[list[Point]] = [[]]
    for point in sorted(drawn.points, key=lambda p: p.x):
        if point.value is None:
            segments.append([])
        else:
            segments[-1].append(point)
    return [segment for segment in segments if segment]


def _band(drawn: Line, places: Mapping[float, float], y: Scale, faint: bool) -> Markup:
    bands, low, high = Markup(""), min(y.low, y.high), max(y.low, y.high)
    for segment in _segments(drawn):
        known = [p for p in segment if p.low is not None and p.high is not None]
        if len(known) > 1:
            upper = [(places[p.x], y(min(p.high or 0.0, high))) for p in known]
            lower = [(places[p.x], y(max(p.low or 0.0, low))) for p in reversed(known)]
            bands += path(upper + lower, f"band {drawn.css}{' faint' if faint else ''}", closed=True)
    return bands


def _stroke(chart: Chart, drawn: Line, places: Mapping[float, float], y: Scale) -> Markup:
    strokes = Markup("")
    for segment in _segments(drawn):
        strokes += path(
            [(places[p.x], y(p.value or 0.0)) for p in segment],
            f"stroke {drawn.css}{' dashed' if drawn.dashed else ''}",
        )
    for point in drawn.points:
        where = chart.checkpoints.get(point.x) or _place_words(chart, point.x)
        strokes += _dots(drawn, point, where, places[point.x], y)
    return along(strokes)


def _dots(drawn: Line, point: Point, where: str, x: float, y: Scale) -> Markup:
    if point.value is None:
        return text("×", x, HEIGHT - BOTTOM - 4, f"hole {drawn.css}", "middle", f"{drawn.name}, {where}: not run")
    runs = f" · single runs {', '.join(number(v) for v in point.seeds)}" if len(point.seeds) > 1 else ""
    hint = f"{drawn.name}, {where}: {number(point.value)} {interval(point.low, point.high)}{runs}"
    seeds = [element("circle", cx=x, cy=y(v), r=2, class_=f"seed {drawn.css}") for v in point.seeds]
    return Markup("").join([*seeds, mark(drawn.css, x, y(point.value), 3.6, hint)])


def _labels(chart: Chart, y: Scale) -> list[Label]:
    """Returns the labels at the right: the last point of each line, and the references."""
    named = [
        Label(shorten(drawn.short or drawn.name, 24), y(end.value), drawn.name, drawn.css)
        for drawn in chart.lines
        if (end := _last(drawn)) is not None and end.value is not None
    ]
    near = 0.5 / abs(y(1) - y(0))
    references = merge_references(chart.references, near)
    return named + [Label(shorten(words, 28), y(value), words) for words, value in references]


def _label_texts(labels: Sequence[Label], right: float) -> list[Markup]:
    """Returns the labels, moved apart where they would overlap."""
    heights = svg.spread([label.height for label in labels], LABEL_GAP, TOP - 4, HEIGHT - BOTTOM + 2)
    return [stroke for label, height in zip(labels, heights, strict=True) for stroke in _label(label, right, height)]


def _label(label: Label, right: float, height: float) -> list[Markup]:
    hint = label.hint if label.hint != label.words else ""
    if not label.colour:
        return [text(label.words, right + 6, height + 4, "hint", hint=hint)]
    words = text(label.words, right + 6 + MARK, height + 4, f"name {label.colour}", hint=hint)
    return [mark(label.colour, right + 10, height, 3.6), words]


def _last(drawn: Line) -> Point | None:
    segments = _segments(drawn)
    return segments[-1][-1] if segments else None
