"""The kinds of series: where checkpoints come from. Each file beside this one is one, listed by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from amuro.core import registry

if TYPE_CHECKING:
    from amuro.series.base import SeriesKind


def load_series_kind(name: str) -> SeriesKind:
    """The kind of series `series/NAME.py`, or that of a dotted module. Errors as in `registry.plugin`."""
    return cast("SeriesKind", registry.plugin("series", name))
