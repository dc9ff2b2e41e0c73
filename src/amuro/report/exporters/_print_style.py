"""Style of printed figures: one column wide, in colours that colour-blind readers can distinguish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WIDTH, HEIGHT = 3.35, 2.5
"""Inches: one column of a page in two."""
LANE = 0.13
"""Inches of height for one line in one row of named things."""
INK, SOFT = "#222222", "#707070"
COLOURS = {
    "base": "#D55E00", "tuned": "#0072B2", "other-1": "#009E73", "other-2": "#CC79A7", "other-3": "#E69F00",
    "other-4": "#56B4E9", "other-5": "#000000",
}  # fmt: skip
"""The palette of Okabe and Ito (https://jfly.uni-koeln.de/color/)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STROKES = {"chance": "--", "majority": ":"}
OTHER_STROKES = ((0, (6, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
"""Of every other reference, in turn."""
LONG_NAME = 24
"""Characters from which on names stand below each other in the legend."""
LOOK: Any = {
    "font.family": "DejaVu Sans", "font.size": 7.0, "axes.labelsize": 7.0, "legend.fontsize": 6.3,
    "xtick.labelsize": 6.3, "ytick.labelsize": 6.3, "axes.linewidth": 0.6, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK,
    "pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "amuro", "text.parse_math": False, "text.usetex": False,
    "figure.constrained_layout.h_pad": 0.02, "figure.constrained_layout.w_pad": 0.02,
}  # fmt: skip
"""Letters stay letters (fonttype 42) in PDF; a name is never read as a formula; the same chart gives the same bytes."""
FORMATS: Mapping[str, Mapping[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": "amuro", "Producer": None},
    "svg": {"Date": None, "Creator": "amuro"},
}
