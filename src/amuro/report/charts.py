"""Charts: lines over pre-training, or rows of points with intervals; always with their reference lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from amuro.report.svg import (
    CHARACTER,
    Scale,
    element,
    image,
    line,
    log_places,
    nice_ticks,
    path,
    shorten,
    spread,
    text,
)
from amuro.report.words import compact, interval, number

WIDTH, HEIGHT = 460.0, 270.0
TOP, BOTTOM, LEFT = 18.0, 42.0, 38.0


@dataclass(frozen=True, slots=True)
class Point:
    """A measured place of a line. A value of None is a hole: planned or wanted, but not run."""

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


@dataclass(frozen=True, slots=True)
class Reference:
    """A horizontal line that gives the numbers a meaning: chance, majority, no difference."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing before it is drawn. With `categories`, x counts them and the chart has a row for each."""

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


def draw(chart: Chart) -> Markup:
    """The chart as inline SVG; empty where no point has a value."""
    if not any(point.value is not None for drawn in chart.lines for point in drawn.points):
        return Markup("")
    return _rows(chart) if chart.categories else _lines(chart)


def _span(chart: Chart) -> tuple[float, float]:
    """The values that the axis must hold: 0 to 1 for shares, else what is there and zero where it is near."""
    values = [reference.value for reference in chart.references]
    for drawn in chart.lines:
        for point in drawn.points:
            values += [v for v in (point.value, point.low, point.high, *point.seeds) if v is not None]
    low, high = min(values), max(values)
    if chart.unit:
        return min(0.0, low), max(1.0, high)
    margin = 0.06 * ((high - low) or abs(high) or 1.0)
    return (0.0 if 0 <= low < 0.4 * high else low - margin), (high + margin if high else margin)


def merge_references(references: Sequence[Reference], near: float) -> list[Reference]:
    """References closer together than `near` share one label, so that labels never lie on each other."""
    merged: list[Reference] = []
    for reference in sorted(references, key=lambda r: r.value):
        if merged and abs(merged[-1].value - reference.value) <= near:
            merged[-1] = replace(merged[-1], name=f"{merged[-1].name} · {reference.name}")
        else:
            merged.append(reference)
    return merged


def _lines(chart: Chart) -> Markup:
    names = [shorten(drawn.name, 22) for drawn in chart.lines]
    right = WIDTH - 14 - max((len(name) for name in names), default=0) * CHARACTER
    low, high = _span(chart)
    ticks = nice_ticks(low, high)
    y = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    values = [point.x for drawn in chart.lines for point in drawn.points]
    if chart.logarithmic:
        places = log_places(values, LEFT + 12, right - 8)
    else:
        scale = Scale(min(values), max(values), LEFT + 12, right - 8)
        places = {v: scale(v) if max(values) > min(values) else (LEFT + right) / 2 for v in values}
    layers = [
        *_grid(ticks, y, right),
        *_x_axis(chart, places, right),
        *_references(chart, y, LEFT, right),
        *(_band(drawn, places, y) for drawn in chart.lines),
        *(_stroke(drawn, places, y) for drawn in chart.lines),
        *_line_labels(chart, names, places, y, right),
        text(chart.y_label, 4, 11, "label"),
    ]
    return image(chart.name, chart.title, WIDTH, HEIGHT, *layers)


def _grid(ticks: Sequence[float], y: Scale, right: float) -> list[Markup]:
    digits = 2 if any(abs(t * 10 - round(t * 10)) > 1e-6 for t in ticks) else 1 if any(t % 1 for t in ticks) else 0
    return [
        stroke
        for tick in ticks
        for stroke in (
            line(LEFT, y(tick), right, y(tick), "grid"),
            text(number(tick, digits), LEFT - 6, y(tick) + 4, "tick", "end"),
        )
    ]


def _x_axis(chart: Chart, places: dict[float, float], right: float) -> list[Markup]:
    """A tick at each measured place; where two would touch, the earlier one goes without words."""
    bottom, strokes, free = HEIGHT - BOTTOM, [], float("inf")
    for value in sorted(places, reverse=True):
        words = compact(value) if value >= 0 else number(value)
        half = len(words) * CHARACTER / 2 + 4
        strokes.append(line(places[value], bottom, places[value], bottom + 4, "axis"))
        if places[value] + half <= free:
            strokes.append(text(words, places[value], bottom + 16, "tick", "middle"))
            free = places[value] - half
    return [
        line(LEFT, bottom, right, bottom, "axis"),
        *strokes,
        text(chart.x_label, (LEFT + right) / 2, HEIGHT - 6, "label", "middle"),
    ]


def _references(chart: Chart, y: Scale, left: float, right: float) -> list[Markup]:
    strokes = [
        line(left, y(r.value), right, y(r.value), f"reference {'majority' if r.name == 'majority' else 'chance'}")
        for r in chart.references
    ]
    labels = merge_references(chart.references, near=13 / abs(y(1) - y(0)))
    words = [text(f"{r.name} {number(r.value)}", left + 4, y(r.value) - 4, "hint") for r in labels]
    return strokes + words


def _segments(drawn: Line) -> list[list[Point]]:
    """The runs of points between holes: a line is never drawn across what was not run."""
    segments: list[list[Point]] = [[]]
    for point in sorted(drawn.points, key=lambda p: p.x):
        if point.value is None:
            segments.append([])
        else:
            segments[-1].append(point)
    return [segment for segment in segments if segment]


def _band(drawn: Line, places: dict[float, float], y: Scale) -> Markup:
    bands = Markup("")
    for segment in _segments(drawn):
        known = [p for p in segment if p.low is not None and p.high is not None]
        if len(known) > 1:
            upper = [(places[p.x], y(p.high or 0.0)) for p in known]
            lower = [(places[p.x], y(p.low or 0.0)) for p in reversed(known)]
            bands += path(upper + lower, f"band {drawn.css}", closed=True)
    return bands


def _stroke(drawn: Line, places: dict[float, float], y: Scale) -> Markup:
    strokes = Markup("")
    for segment in _segments(drawn):
        strokes += path([(places[p.x], y(p.value or 0.0)) for p in segment], f"stroke {drawn.css}")
    for point in drawn.points:
        strokes += _dots(drawn, point, places[point.x], y)
    return element("g", strokes)


def _dots(drawn: Line, point: Point, x: float, y: Scale) -> Markup:
    if point.value is None:
        hint = f"{drawn.name}, {compact(point.x)}: not run"
        return text("×", x, HEIGHT - BOTTOM - 4, f"hole {drawn.css}", "middle", hint)
    runs = f" · single runs {', '.join(number(v) for v in point.seeds)}" if len(point.seeds) > 1 else ""
    hint = f"{drawn.name}, {compact(point.x)}: {number(point.value)} {interval(point.low, point.high)}{runs}"
    seeds = [element("circle", cx=x, cy=y(v), r=2, class_=f"seed {drawn.css}") for v in point.seeds]
    dot = element("circle", element("title", hint), cx=x, cy=y(point.value), r=3.6, class_=f"dot {drawn.css}")
    return Markup("").join([*seeds, dot])


def _line_labels(chart: Chart, names: list[str], places: dict[float, float], y: Scale, right: float) -> list[Markup]:
    """Each line's name beside its last point, moved apart where lines end together."""
    ends = [_last(drawn) for drawn in chart.lines]
    shown = [k for k, end in enumerate(ends) if end is not None]
    heights = spread([y(end.value or 0.0) for end in ends if end], 14, TOP, HEIGHT - BOTTOM)
    return [
        text(names[k], right + 6, height + 4, f"name {chart.lines[k].css}", hint=chart.lines[k].name)
        for k, height in zip(shown, heights, strict=True)
    ]


def _last(drawn: Line) -> Point | None:
    segments = _segments(drawn)
    return segments[-1][-1] if segments else None


def _rows(chart: Chart) -> Markup:
    """One row a category, one lane a line: points with their intervals over a common axis."""
    lanes = len(chart.lines)
    step = 16.0 * lanes + 12
    left = min(170.0, 16 + max(len(c) for c in chart.categories) * CHARACTER)
    top = TOP + 16 * (1 if lanes > 1 else 0)
    height = top + step * len(chart.categories) + BOTTOM
    low, high = _span(chart)
    ticks = nice_ticks(low, high)
    x = Scale(ticks[0], ticks[-1], left + 10, WIDTH - 20)
    layers = [*_row_axis(chart, ticks, x, top, height)]
    for k, category in enumerate(chart.categories):
        middle = top + step * (k + 0.5)
        layers.append(text(shorten(category, 25), left, middle + 4, "tick", "end", hint=category))
        for lane, drawn in enumerate(chart.lines):
            layers += [
                _whisker(drawn, point, category, x, middle + 16 * (lane - (lanes - 1) / 2))
                for point in drawn.points
                if point.x == k
            ]
    if lanes > 1:
        layers += _legend(chart, left)
    return image(chart.name, chart.title, WIDTH, height, *layers)


def _row_axis(chart: Chart, ticks: Sequence[float], x: Scale, top: float, height: float) -> list[Markup]:
    bottom = height - BOTTOM
    strokes = [text(chart.y_label, (x.start + x.end) / 2, height - 6, "label", "middle")]
    for tick in ticks:
        strokes += [
            line(x(tick), top, x(tick), bottom, "grid"),
            text(number(tick), x(tick), bottom + 16, "tick", "middle"),
        ]
    for reference in chart.references:
        css = f"reference {'majority' if reference.name == 'majority' else 'chance'}"
        strokes.append(line(x(reference.value), top, x(reference.value), bottom, css))
    merged = merge_references(chart.references, near=60 / abs(x(1) - x(0)))
    return strokes + [text(f"{r.name} {number(r.value)}", x(r.value) + 3, top - 4, "hint") for r in merged]


def _whisker(drawn: Line, point: Point, category: str, x: Scale, y: float) -> Markup:
    if point.value is None:
        return text("× not run", x.start, y + 4, f"hole {drawn.css}", hint=f"{drawn.name}, {category}: not run")
    hint = f"{drawn.name}, {category}: {number(point.value)} {interval(point.low, point.high)}"
    dot = element("circle", element("title", hint), cx=x(point.value), cy=y, r=4, class_=f"dot {drawn.css}")
    if point.low is None or point.high is None:
        return dot
    return line(x(point.low), y, x(point.high), y, f"whisker {drawn.css}") + dot


def _legend(chart: Chart, left: float) -> list[Markup]:
    words, x = [], left + 10
    for drawn in chart.lines:
        name = shorten(drawn.name, 24)
        words += [
            element("circle", cx=x, cy=10, r=4, class_=f"dot {drawn.css}"),
            text(name, x + 8, 14, f"name {drawn.css}", hint=drawn.name),
        ]
        x += 26 + len(name) * CHARACTER
    return words


def strip(name: str, effect: float | None, low: float | None, high: float | None, delta: float) -> Markup:
    """An effect with its interval against zero and the smallest effect of interest."""
    if effect is None:
        return Markup("")
    known = [v for v in (effect, low, high) if v is not None]
    reach_low, reach_high = min(0.0, *known), max(delta, 0.0, *known)
    margin = 0.12 * ((reach_high - reach_low) or 1.0)
    x = Scale(reach_low - margin, reach_high + margin, 4, 316)
    title = f"effect {number(effect)} {interval(low, high)}, smallest effect of interest {number(delta)}"
    labels = [(0.0, "0", "zero"), (delta, f"δ {number(delta)}", "delta")]
    if abs(x(delta) - x(0)) < 34:
        labels = [(0.0, f"0 · δ {number(delta)}", "zero"), (delta, "", "delta")]
    parts = [element("rect", x=x(delta), y=4, width=max(0.0, 320 - x(delta)), height=26, class_="reach")]
    for value, words, css in labels:
        half = len(words) * CHARACTER / 2
        parts += [line(x(value), 4, x(value), 30, css), text(words, min(max(x(value), half), 316 - half), 43, "tick", "middle")]
    if low is not None and high is not None:
        parts.append(line(x(low), 17, x(high), 17, "whisker effect"))
    parts.append(element("circle", element("title", title), cx=x(effect), cy=17, r=5, class_="dot effect"))
    return image(name, title, 320, 48, *parts)
