"""The analyses: what is asked of the scores. Each file beside this one is one, listed by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from amuro.core import registry

if TYPE_CHECKING:
    from amuro.results.analyses.base import Analysis


def load_analysis(name: str) -> Analysis:
    """The analysis `analyses/NAME.py`, or that of a dotted module. Errors as in `registry.plugin`."""
    return cast("Analysis", registry.plugin("analyses", name))
