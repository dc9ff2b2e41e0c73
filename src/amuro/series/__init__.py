"""Series kinds: where checkpoints come from. Each file of this package without a leading _ is one, listed by its
name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from amuro.core import registry

if TYPE_CHECKING:
    from amuro.series.base import SeriesKind


def load_series_kind(name: str) -> SeriesKind:
    """Returns the series kind of `series/NAME.py` or of a dotted module. Raises the errors of `registry.plugin`."""
    return cast("SeriesKind", registry.plugin("series", name))
