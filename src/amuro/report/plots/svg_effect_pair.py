"""One effect in two studies, each with its interval, against zero and the smallest effect of interest."""

from __future__ import annotations

from markupsafe import Markup

from amuro.core.types import Finding
from amuro.report.formatting import interval, number
from amuro.report.plots import svg
from amuro.report.plots.svg import Scale, element, line, text
from amuro.report.plots.svg_forest import marks

WIDTH, HEIGHT = 460.0, 66.0
LANES = {"A": (16.0, "other-4"), "B": (36.0, "other-3")}
"""Letter → height and colour."""
FOOT = 48.0


def effect_bar_pair(name: str, left: Finding, right: Finding) -> Markup:
    """Returns both effects in one bar; '' if neither study has an estimate."""
    sides = dict(zip(LANES, (left, right), strict=True))
    reach = [v for f in sides.values() for v in (f.effect, f.low, f.high) if v is not None]
    if not reach:
        return Markup("")
    low, high = min(0.0, *reach), max(left.delta, 0.0, *reach)
    margin = 0.06 * ((high - low) or 1.0)
    x = Scale(low - margin, high + margin, 22, WIDTH - 4)
    lanes = [mark for letter, found in sides.items() for mark in _lane(letter, found, x)]
    description = "; ".join(f"{letter} {number(f.effect)} {interval(f.low, f.high)}" for letter, f in sides.items())
    return svg.image(name, description, WIDTH, HEIGHT, *marks(x, left.delta, FOOT), *lanes)


def _lane(letter: str, found: Finding, x: Scale) -> list[Markup]:
    y, css = LANES[letter]
    drawn = [text(letter, 2, y + 4, f"name {css}")]
    if found.effect is None:
        return [*drawn, text("no estimate", 22, y + 4, "tick")]
    if found.low is not None and found.high is not None:
        drawn.append(line(x(found.low), y, x(found.high), y, f"whisker {css}"))
    hint = f"{letter}: {number(found.effect)} {interval(found.low, found.high)}"
    dot = element("title", hint)
    return [*drawn, element("circle", dot, cx=x(found.effect), cy=y, r=4.5, class_=f"dot {css}")]
