"""`amuro check MEMBER`: finds the shelf of a member, ours or an outsider's, and runs that shelf's contract."""

from __future__ import annotations

from collections.abc import Iterator

from amuro import catalog
from amuro.contracts import analysis, format, metric, task
from amuro.errors import AmuroError, StudyError, nearest

CONTRACTS = {"tasks": task.check, "formats": format.check, "metrics": metric.check, "analyses": analysis.check}


def check_member(name: str) -> Iterator[str]:
    """One line for each promise that holds. Raises `StudyError` at the first one that does not."""
    shelf = _shelf(name)
    yield f"{name} is a member of {shelf}"
    yield from CONTRACTS[shelf](catalog.member(shelf, name))


def _shelf(name: str) -> str:
    if "." not in name:
        found = [shelf for shelf in CONTRACTS if name in catalog.names(shelf)]
        if found:
            return found[0]
        known = [n for shelf in CONTRACTS for n in catalog.names(shelf)]
        raise StudyError(f"no shelf has a member {name!r}", cure=nearest(name, known))
    for shelf in CONTRACTS:
        try:
            catalog.member(shelf, name)
            return shelf
        except AmuroError as error:
            reason = error
            if "no module" in error.message or "needs the package" in error.message:
                raise
    raise StudyError(f"{name} holds none of {', '.join(catalog.SHELVES.values())}", cure=str(reason.cure))
