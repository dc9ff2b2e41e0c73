"""`amuro check MEMBER`: finds the shelf of a member, ours or an outsider's, and runs that shelf's contract."""

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
from amuro.tasks.metrics._contract import check as check_metric

CONTRACTS: dict[str, Callable[[Any], Iterator[str]]] = {
    "tasks": check_task,
    "formats": check_format,
    "metrics": check_metric,
    "analyses": check_analysis,
    "importers": check_importer,
    "exporters": check_exporter,
}


def check_member(name: str) -> Iterator[str]:
    """One line for each promise that holds. Raises `StudyError` at the first one that does not."""
    shelf = _shelf(name)
    yield f"{name} is a member of {shelf}"
    yield from CONTRACTS[shelf](registry.member(shelf, name))


def _shelf(name: str) -> str:
    if "." not in name:
        found = [shelf for shelf in CONTRACTS if name in registry.names(shelf)]
        if found:
            return found[0]
        known = [n for shelf in CONTRACTS for n in registry.names(shelf)]
        raise StudyError(f"no shelf has a member {name!r}", cure=nearest(name, known))
    for shelf in CONTRACTS:
        try:
            registry.member(shelf, name)
            return shelf
        except AmuroError as error:
            reason = error
            if "no module" in error.message or "needs the package" in error.message:
                raise
    raise StudyError(f"{name} holds none of {', '.join(registry.SHELVES.values())}", cure=str(reason.cure))
