"""Analyses of scores. Each file of this package without a leading underscore is one, except `base`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from amuro.core import registry

if TYPE_CHECKING:
    from amuro.results.analyses.base import Analysis


def load_analysis(name: str) -> Analysis:
    """Returns the analysis `analyses/NAME.py`, or that of a dotted module name. Errors as in `registry.plugin`."""
    return cast("Analysis", registry.plugin("analyses", name))
