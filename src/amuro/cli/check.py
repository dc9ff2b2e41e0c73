"""`amuro check PLUGIN`: finds the kind of a plugin, shipped or external, and runs the contract tests of that kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from amuro.core import registry
from amuro.core.errors import AmuroError, StudyError, nearest
from amuro.prompts.formats._contract import check as check_format
from amuro.report.exporters._contract import check as check_exporter
from amuro.results.analyses._contract import check as check_analysis
from amuro.results.importers._contract import check as check_importer
from amuro.run.preflight.task_contract import check as check_task
from amuro.series._contract import check as check_series
from amuro.tasks.metrics._contract import check as check_metric

CONTRACTS: dict[str, Callable[[Any], Iterator[str]]] = {
    "tasks": check_task,
    "formats": check_format,
    "metrics": check_metric,
    "series": check_series,
    "analyses": check_analysis,
    "importers": check_importer,
    "exporters": check_exporter,
}
"""Plugin kind → its contract tests."""


def check_plugin(name: str) -> Iterator[str]:
    """Yields one line per test that passes. Raises `StudyError` at the first one that fails."""
    kind = _kind(name)
    yield f"{name} is one of {kind}"
    yield from CONTRACTS[kind](registry.plugin(kind, name))


def _kind(name: str) -> str:
    """Returns the kind of a plugin. Raises StudyError if there is none, with the nearest name as the cure."""
    if "." not in name:
        kinds = [kind for kind in CONTRACTS if name in registry.names(kind)]
        if kinds:
            return kinds[0]
        known = [n for kind in CONTRACTS for n in registry.names(kind)]
        raise StudyError(f"no plugin is called {name!r}", cure=nearest(name, known))
    for kind in CONTRACTS:
        try:
            registry.plugin(kind, name)
            return kind
        except AmuroError as error:
            reason = error
            if "no module" in error.message or "needs the package" in error.message:
                raise
    raise StudyError(f"{name} holds none of {', '.join(registry.CONSTANTS.values())}", cure=str(reason.cure))
