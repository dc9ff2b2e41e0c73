"""Markers of lines: every colour has its own shape, so that lines are distinguishable without colours."""

from __future__ import annotations

from markupsafe import Markup

from amuro.report.plots.svg import element

_SHAPES = {
    "tuned": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "other-1": ((0, -1.2), (1.15, 0.8), (-1.15, 0.8)),
    "other-2": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    "other-3": ((0, 1.2), (1.15, -0.8), (-1.15, -0.8)),
    "other-4": (
        (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4), (0.4, 1.2), (-0.4, 1.2),
        (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4),
    ),
    "other-5": ((-1.1, -1.1), (1.1, -1.1), (-1.1, 1.1), (1.1, 1.1)),
}  # fmt: skip
"""Colour class → outline around (0, 0), about as large as a circle of radius 1: square, triangle, diamond, triangle
upside down, cross, hourglass. Every other class has a circle."""


def mark(colour: str, x: float, y: float, radius: float, hint: str = "", hollow: bool = False) -> Markup:
    """Returns the marker of a line at a place, with a hint shown on hover."""
    css = f"dot {colour}{' hollow' if hollow else ''}"
    children = [element("title", hint)] if hint else []
    if colour not in _SHAPES:
        return element("circle", *children, cx=x, cy=y, r=radius, class_=css)
    corners = " ".join(f"{radius * right:.1f} {radius * down:.1f}" for right, down in _SHAPES[colour])
    return element("path", *children, transform=f"translate({x:.1f},{y:.1f})", d=f"M{corners}Z", class_=css)
