"""The axes that charts share: horizontal grid lines with numbers, ticks at measured places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from amuro.report.formatting import number
from amuro.report.plots.svg import CHARACTER, Scale, along, line, text

HEIGHT = 250.0
TOP, BOTTOM, LEFT = 28.0, 42.0, 40.0


def grid(ticks: Sequence[float], y: Scale, right: float) -> list[Markup]:
    """Returns horizontal lines with their values."""
    digits = next(d for d in range(4) if d == 3 or all(abs(t * 10**d - round(t * 10**d)) < 1e-6 for t in ticks))
    return [
        stroke
        for tick in ticks
        for stroke in (
            line(LEFT, y(tick), right, y(tick), "grid"),
            text(number(tick, digits), LEFT - 6, y(tick) + 4, "tick", "end"),
        )
    ]


def x_axis(label: str, ticks: Mapping[str, float], right: float) -> list[Markup]:
    """Returns a tick at each place of `ticks` (words → place)."""
    bottom = HEIGHT - BOTTOM
    return [
        line(LEFT, bottom, right, bottom, "axis"),
        tick_marks(ticks, bottom),
        text(label, (LEFT + right) / 2, HEIGHT - 6, "label scale", "middle"),
    ]


def tick_marks(ticks: Mapping[str, float], height: float) -> Markup:
    """Returns ticks and labels below an axis; if two labels would touch, the earlier one is left out."""
    marks, free = [], float("inf")
    for words, x in sorted(ticks.items(), key=lambda tick: -tick[1]):
        half = len(words) * CHARACTER / 2 + 4
        fits = x + half <= free
        free = x - half if fits else free
        marks.append(line(x, height, x, height + 4, "axis"))
        marks.append(text(words, x, height + 16, "tick" if fits else "tick crowded", "middle"))
    return along(*marks)
