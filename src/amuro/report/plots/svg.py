"""Elements of SVG: escaping, scales, ticks. Colours are classes, so that a page can be light or dark."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_LINE_ENDS = re.compile(r"[\t\n\r]+")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
CHARACTER = 6.1
"""Width of an average character at the font size of the figures, in SVG units."""


def element(tag: str, *children: str | Markup, **attributes: str | float | None) -> Markup:
    """Returns one element. `class_` becomes `class`, `text_anchor` becomes `text-anchor`; None is left out; text is
    escaped.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(child if isinstance(child, Markup) else escape(printable(child)) for child in children)
    return Markup(f"<{tag}{written}>{inner}</{tag}>")


def _value(value: str | float) -> str:
    return printable(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def printable(words: str) -> str:
    """Returns text that XML allows: line ends become spaces, other control characters a replacement mark."""
    return _CONTROLS.sub("\ufffd", _LINE_ENDS.sub(" ", words))


def text(content: str, x: float, y: float, class_: str = "", anchor: str = "start", hint: str = "") -> Markup:
    """Returns text at a place, with a hint shown on hover."""
    children = [element("title", hint), content] if hint else [content]
    return element(
        "text", *children, x=x, y=y, class_=class_ or None, text_anchor=None if anchor == "start" else anchor
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Returns a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, closed: bool = False) -> Markup:
    """Returns a line through `points`."""
    steps = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return element("path", d=f"M{steps}{'Z' if closed else ''}", class_=class_)


def image(
    name: str, title: str, width: float, height: float, *children: Markup, places: Mapping[float, float] | None = None
) -> Markup:
    """A whole drawing with its title for those who hear it; `name` must be unique on the page.

    `places` (tokens or steps → place on the log axis) lets the page place the points anew on a linear axis: it moves
    what stands in groups of the class `along`.
    """
    ordered = sorted((places or {}).items())
    can_move = len(ordered) > 2
    return element(
        "svg", element("title", title, id=f"{name}-title"), *children,
        viewBox=f"0 0 {width:.0f} {height:.0f}", role="img", aria_labelledby=f"{name}-title", class_="figure",
        data_values=" ".join(f"{value:.0f}" for value, _ in ordered) if can_move else None,
        data_places=" ".join(f"{place:.1f}" for _, place in ordered) if can_move else None,
    )  # fmt: skip


def along(*children: Markup) -> Markup:
    """Returns a group of elements that move with the axis when its scale is changed."""
    return element("g", *children, class_="along")


def shorten(words: str, characters: int) -> str:
    """Returns at most this many characters, cut with an ellipsis."""
    return words if len(words) <= characters else words[: max(1, characters - 1)].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values [low, high] to places [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Returns round numbers that cover [low, high]: steps of 1, 2, 2.5 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / about))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if span / (s * power) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 10) for k in range(first, max(last, first + 1) + 1)]


def log_places(values: Sequence[float], start: float, end: float) -> dict[float, float]:
    """Returns value → place on a log axis. Values without logarithm (0, and −1 for unknown) are left of the others."""
    positive = sorted({v for v in values if v > 0})
    if not positive:
        return dict.fromkeys(values, (start + end) / 2)
    has_zero = any(v <= 0 for v in values)
    left = start + (end - start) * 0.14 if has_zero else start
    if len(positive) == 1:
        places = {positive[0]: end if has_zero else (start + end) / 2}
    else:
        scale = Scale(math.log10(positive[0]), math.log10(positive[-1]), left, end)
        places = {v: scale(math.log10(v)) for v in positive}
    return {**{v: start for v in values if v <= 0}, **places}


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Returns the places in the same order, moved apart so that neighbours are `gap` apart where
    [low, high] allows.
    """
    order = sorted(range(len(places)), key=lambda k: places[k])
    moved = list(places)
    for before, k in zip([None, *order], order, strict=False):
        moved[k] = max(moved[k], low if before is None else moved[before] + gap)
    limit = high
    for k in reversed(order):
        moved[k] = min(moved[k], limit)
        limit = moved[k] - gap
    return moved
