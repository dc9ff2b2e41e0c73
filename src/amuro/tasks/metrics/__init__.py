"""Metrics: predictions in, values out. Each file of this package without a leading _ is one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from amuro.core import registry
from amuro.core.errors import StudyError

if TYPE_CHECKING:
    from amuro.tasks.metrics.base import Metric


def load_metric(name: str) -> Metric:
    """Returns the metric `metrics/NAME.py` or that of a dotted module, under the requested name.

    Raises the errors of `registry.plugin`, and StudyError if the module's METRIC is not a Metric.
    """
    from amuro.tasks.metrics.base import Metric  # with polars behind it: the help of the command line needs none of it

    plugin = registry.plugin("metrics", name)
    if not isinstance(plugin, Metric):
        raise StudyError(
            f"METRIC of '{name}' is a {type(plugin).__name__}, no amuro.tasks.metrics.base.Metric", "see docs/extend.md"
        )
    return plugin if plugin.name == name else replace(plugin, name=name)
