"""plan × store → what is done, what is missing, what went stale and why. Loads neither rows nor weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amuro.plan import Plan
from amuro.store import Manifest, Store
from amuro.types import Cell


@dataclass(frozen=True)
class State:
    """One cell against the store. `manifest` is set where its result can be used as it is."""

    cell: Cell
    manifest: Manifest | None
    reason: str
    """Why it would run; empty where it is done."""

    @property
    def done(self) -> bool:
        return self.manifest is not None


@dataclass(frozen=True)
class Estimate:
    """What the missing cells would cost, from this study's own ledgers, or from `DEFAULTS` where it has none yet."""

    seconds: float
    """Of one core, without pre-training."""
    flops: float
    disk_mb: float
    measured: bool


DEFAULTS = {"cell_seconds": 0.6, "tuning_seconds": 10.0, "cell_flops": 1e11, "cell_mb": 0.03}
"""Of the embedded demo on one core (docs/demo.md): they only order magnitudes on a fresh store."""


def states(plan: Plan, store: Store) -> list[State]:
    """The state of every cell of the plan, in the plan's order."""
    known = store.cells()
    return [state_of(plan, cell, known.get(cell.address)) for cell in plan.cells]


def state_of(plan: Plan, cell: Cell, manifest: Manifest | None) -> State:
    """One cell against what the store holds for it; a result that was made from other inputs is stale."""
    if manifest is None:
        return State(cell, None, "not run")
    changes = list(_changes(manifest["declared"], plan.declared(cell)))
    return State(cell, None, "; ".join(changes)) if changes else State(cell, manifest, "")


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key in sorted({*before, *now}):
        was, is_ = before.get(key), now.get(key)
        if isinstance(was, Mapping) and isinstance(is_, Mapping):
            yield from _changes(was, is_, f"{path}{key}.")
        elif _plain(was) != _plain(is_):
            yield f"{path}{key} changed: {was!r} → {is_!r}"


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def reasons(found: list[State]) -> Counter[str]:
    """How many cells would run for each reason."""
    return Counter(state.reason for state in found if not state.done)


def estimate(found: list[State], store: Store) -> Estimate:
    """Cost of what is missing; seconds and FLOPs a cell are the ledgers' means."""
    missing = [state.cell for state in found if not state.done]
    tunings = len({cell.model for cell in missing if cell.model.recipe})
    ours = {state.cell.model.checkpoint.address for state in found}
    ledger = [note for note in store.notes("ledger") if note["model"].partition("+")[0] in ours]
    cells = sum(note["cells"] for note in ledger)
    costs = dict(DEFAULTS)
    if cells:
        tuned = [note["tuning_seconds"] for note in ledger if note["tuning_seconds"]]
        costs["tuning_seconds"] = sum(tuned) / len(tuned) if tuned else costs["tuning_seconds"]
        costs["cell_seconds"] = sum(n["seconds"] - n["tuning_seconds"] for n in ledger) / cells
        costs["cell_flops"] = sum(n["flops"] for n in ledger) / cells
    return Estimate(
        seconds=len(missing) * costs["cell_seconds"] + tunings * costs["tuning_seconds"],
        flops=len(missing) * costs["cell_flops"],
        disk_mb=len(missing) * costs["cell_mb"],
        measured=bool(cells),
    )
