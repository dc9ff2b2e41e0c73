"""Scatter charts: single named points over a number, each with its interval and name."""

from __future__ import annotations

from markupsafe import Markup

from amuro.report.formatting import interval, number
from amuro.report.plots import svg
from amuro.report.plots.chart import WIDTH, Chart, Line, Point, merge_references, reference_css, span
from amuro.report.plots.svg import CHARACTER, Scale, element, line, shorten, text
from amuro.report.plots.svg_axes import BOTTOM, HEIGHT, LEFT, TOP, grid, x_axis

LABEL_GAP = 13.0


def scatter_chart(chart: Chart) -> Markup:
    """Returns the chart as inline SVG; every line has one point, and at least one point has a value."""
    spots = [(drawn, point) for drawn in chart.lines for point in drawn.points if point.value is not None]
    low, high = span(chart)
    ticks = svg.nice_ticks(low, high)
    across = svg.nice_ticks(min(p.x for _, p in spots), max(p.x for _, p in spots))
    references = merge_references(chart.references, near=0.0)
    right = WIDTH - 10 - max((len(words) * CHARACTER for words, _ in references), default=0)
    y = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    x = Scale(across[0], across[-1], LEFT + 12, right - 8)
    heights = svg.spread([y(p.value or 0.0) for _, p in spots], LABEL_GAP, TOP, HEIGHT - BOTTOM)
    layers = [
        *grid(ticks, y, right),
        *x_axis(chart.x_label, {number(tick): x(tick) for tick in across}, right),
        *(line(LEFT, y(r.value), right, y(r.value), reference_css(r)) for r in chart.references),
        *(text(words, right + 6, y(value) + 4, "hint") for words, value in references),
        *(_spot(drawn, point, x(point.x), y) for drawn, point in spots),
        *(_name(drawn.name, x(p.x), height, right) for (drawn, p), height in zip(spots, heights, strict=True)),
        text(chart.y_label, 2, 12, "label"),
    ]
    return svg.image(chart.name, chart.title, WIDTH, HEIGHT, *layers)


def _spot(drawn: Line, point: Point, x: float, y: Scale) -> Markup:
    hint = f"{drawn.name} at {number(point.x)}: {number(point.value)} {interval(point.low, point.high)}"
    dot = element("circle", element("title", hint), cx=x, cy=y(point.value or 0.0), r=4.5, class_="dot other-1")
    if point.low is None or point.high is None:
        return dot
    return line(x, y(point.low), x, y(point.high), "whisker other-1") + dot


def _name(name: str, x: float, height: float, right: float) -> Markup:
    """Returns the name on the side that has room."""
    words = shorten(name, 24)
    beside = x + 9 + len(words) * CHARACTER < right
    return text(words, x + 9 if beside else x - 9, height + 4, "hint", "start" if beside else "end", hint=name)
