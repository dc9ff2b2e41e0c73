"""The axes that charts share: a grid with numbers at the left, ticks at the places that were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from amuro.report.svg import CHARACTER, Scale, line, text
from amuro.report.words import number

HEIGHT = 250.0
TOP, BOTTOM, LEFT = 28.0, 42.0, 40.0


def grid(ticks: Sequence[float], y: Scale, right: float) -> list[Markup]:
    """Horizontal lines with their values."""
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
    """A tick at each place of `ticks` (words → place); where two would touch, the earlier one goes without words."""
    bottom, strokes, free = HEIGHT - BOTTOM, [], float("inf")
    for words, x in sorted(ticks.items(), key=lambda tick: -tick[1]):
        half = len(words) * CHARACTER / 2 + 4
        strokes.append(line(x, bottom, x, bottom + 4, "axis"))
        if x + half <= free:
            strokes.append(text(words, x, bottom + 16, "tick", "middle"))
            free = x - half
    return [
        line(LEFT, bottom, right, bottom, "axis"),
        *strokes,
        text(label, (LEFT + right) / 2, HEIGHT - 6, "label", "middle"),
    ]
