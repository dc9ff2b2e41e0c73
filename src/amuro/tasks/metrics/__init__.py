"""The metrics: predictions in, values out. Each file beside this one is one, listed by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from amuro.core import registry
from amuro.core.errors import StudyError

if TYPE_CHECKING:
    from amuro.tasks.metrics.base import Metric


def load_metric(name: str) -> Metric:
    """The metric `metrics/NAME.py`, or that of a dotted module, called as it was asked for. Errors as in
    `registry.plugin`.

    Raises StudyError where the module holds something else under METRIC.
    """
    from amuro.tasks.metrics.base import Metric  # with polars behind it: the help of the command line needs none of it

    found = registry.plugin("metrics", name)
    if not isinstance(found, Metric):
        raise StudyError(
            f"METRIC of '{name}' is a {type(found).__name__}, no amuro.tasks.metrics.base.Metric", "see docs/extend.md"
        )
    return found if found.name == name else replace(found, name=name)
