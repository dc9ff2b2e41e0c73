"""Forest plots: points with intervals in rows, and the bar of one effect against its δ."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from amuro.report.formatting import interval, number
from amuro.report.plots import svg
from amuro.report.plots.chart import WIDTH, Chart, Line, Point, merge_references, reference_css, span
from amuro.report.plots.svg import CHARACTER, Scale, element, line, shorten, text
from amuro.report.plots.svg_line import BOLD
from amuro.report.plots.svg_markers import mark

LANE = 16.0
"""Height of a row of words."""
TOP, BOTTOM = 28.0, 42.0


def row_chart(chart: Chart) -> Markup:
    """Returns a chart with one row per category and one lane per line; at least one point must have a value."""
    lanes = len(chart.lines)
    lane_height = LANE if lanes < 4 else 11.0
    step = lane_height * lanes + 14
    left = min(170.0, 16 + max(len(c) for c in chart.categories) * CHARACTER)
    legend, legend_rows = _legend(chart) if lanes > 1 else ([], 0)
    top = TOP + LANE * legend_rows
    height = top + step * len(chart.categories) + BOTTOM
    low, high = span(chart)
    ticks = svg.nice_ticks(low, high)
    x = Scale(ticks[0], ticks[-1], left + 10, WIDTH - 20)
    layers = [*legend, *_row_axis(chart, ticks, x, top, height)]
    for k, category in enumerate(chart.categories):
        middle = top + step * (k + 0.5)
        layers.append(line(left - 8, middle - step / 2, WIDTH - 20, middle - step / 2, "grid"))
        short = shorten(category, 25)
        layers.append(text(short, left, middle + 4, "tick", "end", hint=category if category != short else ""))
        for lane, drawn in enumerate(chart.lines):
            layers += [
                _whisker(drawn, point, category, x, middle + lane_height * (lane - (lanes - 1) / 2))
                for point in drawn.points
                if point.x == k
            ]
    return svg.image(chart.name, chart.title, WIDTH, height, *layers)


def _row_axis(chart: Chart, ticks: Sequence[float], x: Scale, top: float, height: float) -> list[Markup]:
    bottom = height - BOTTOM
    strokes = [text(chart.y_label, (x.start + x.end) / 2, height - 6, "label", "middle")]
    for tick in ticks:
        strokes += [
            line(x(tick), top, x(tick), bottom, "grid"),
            text(number(tick), x(tick), bottom + 16, "tick", "middle"),
        ]
    for reference in chart.references:
        strokes.append(line(x(reference.value), top, x(reference.value), bottom, reference_css(reference)))
    for words, value in merge_references(chart.references, near=90 / abs(x(1) - x(0))):
        late = x(value) > WIDTH - 12 - len(words) * CHARACTER
        strokes.append(text(words, x(value) + (-4 if late else 4), top - 4, "hint", "end" if late else "start"))
    return strokes


def _whisker(drawn: Line, point: Point, category: str, x: Scale, y: float) -> Markup:
    if point.value is None:
        return text("× not run", x.start, y + 4, f"hole {drawn.css}", hint=f"{drawn.name}, {category}: not run")
    hint = f"{drawn.name}, {category}: {number(point.value)} {interval(point.low, point.high)}"
    dot = mark(drawn.css, x(point.value), y, 4, hint, hollow=drawn.dashed)
    if point.low is None or point.high is None:
        return dot
    return line(x(point.low), y, x(point.high), y, f"whisker {drawn.css}") + dot


def _legend(chart: Chart) -> tuple[list[Markup], int]:
    """Returns (marks and names of the lines, number of rows they need)."""
    marks: list[Markup] = []
    x, row = 8.0, 0
    for drawn in chart.lines:
        name = shorten(drawn.short or drawn.name, 30)
        width = 20 + len(name) * BOLD
        if x > 8 and x + width > WIDTH:
            x, row = 8.0, row + 1
        marks += [
            mark(drawn.css, x, 10 + LANE * row, 4, hollow=drawn.dashed),
            text(name, x + 8, 14 + LANE * row, f"name {drawn.css}", hint=drawn.name if drawn.name != name else ""),
        ]
        x += width
    return marks, row + 1


def effect_bar(name: str, effect: float | None, low: float | None, high: float | None, delta: float) -> Markup:
    """Returns an effect with its interval against zero and the smallest effect of interest."""
    if effect is None:
        return Markup("")
    known = [v for v in (effect, low, high) if v is not None]
    reach_low, reach_high = min(0.0, *known), max(delta, 0.0, *known)
    margin = 0.12 * ((reach_high - reach_low) or 1.0)
    x = Scale(reach_low - margin, reach_high + margin, 4, 316)
    title = f"effect {number(effect)} {interval(low, high)}, smallest effect of interest {number(delta)}"
    parts = [
        element("rect", x=x(delta), y=4, width=max(0.0, 320 - x(delta)), height=26, class_="reach"),
        *marks(x, delta, 30),
    ]
    if low is not None and high is not None:
        parts.append(line(x(low), 17, x(high), 17, "whisker effect"))
    parts.append(element("circle", element("title", title), cx=x(effect), cy=17, r=5, class_="dot effect"))
    return svg.image(name, title, 320, 48, *parts)


def marks(x: Scale, delta: float, foot: float) -> list[Markup]:
    """Zero and δ down to `foot`, their words turned away from each other where they are close; a δ of 0 is zero itself.

    Where there is no room on the right, both words stand left of their lines.
    """
    if delta == 0:
        return [line(x(0), 4, x(0), foot, "zero"), text("0", x(0), foot + 13, "tick", "middle")]
    words = f"δ {number(delta)}"
    close, full = abs(x(delta) - x(0)) < 34, x(delta) + len(words) * CHARACTER > x.end
    zero, other = (("end", "start") if delta > 0 else ("start", "end")) if close else ("middle", "middle")
    at_zero = x(delta) - (len(words) + 1) * CHARACTER if close and full else x(0)
    return [
        line(x(0), 4, x(0), foot, "zero"),
        text("0", at_zero, foot + 13, "tick", zero),
        line(x(delta), 4, x(delta), foot, "delta"),
        text(words, x(delta), foot + 13, "tick", "end" if full else other),
    ]
