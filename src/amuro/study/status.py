"""plan × store → what is done, what is missing, what went stale and why. Loads neither rows nor weights."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amuro.core.hashing import canonical
from amuro.core.types import Cell, Model, exact
from amuro.series.base import twin_error
from amuro.study.inputs import UNKNOWN, Inputs
from amuro.study.plan import Plan
from amuro.study.store import Manifest, Store
from amuro.study.twins import blocked


@dataclass(frozen=True)
class State:
    """One cell against the store. `manifest` is set where its result can be used as it is."""

    cell: Cell
    manifest: Manifest | None
    reason: str
    """Why it would run, or why it has no result; empty where it is done."""
    diverged: bool = False
    """Its model's training came to no end: that is the result, and it is not tried again."""

    @property
    def done(self) -> bool:
        return self.manifest is not None

    @property
    def missing(self) -> bool:
        """Whether a run would fill it."""
        return not self.done and not self.diverged


_LIMIT = re.compile(r"\|n(\d+)\|")


def states(plan: Plan, store: Store) -> list[State]:
    """The state of every cell of the plan, in the plan's order."""
    known, lost, inputs = store.cells(), _diverged(store), Inputs(plan, store)
    found = [state_of(inputs, cell, known.get(cell.address, ())) for cell in plan.cells]
    twins = blocked(plan, store)
    found = [_or_diverged(inputs, state, lost.get(state.cell.model.address, ())) for state in found]
    return [_or_blocked(state, twins) for state in found]


def _or_blocked(state: State, twins: Mapping[str, str]) -> State:
    """The state, unless its checkpoint has the weights of an earlier step: it counts for nothing, though filled."""
    address = state.cell.model.checkpoint.address
    return State(state.cell, None, str(twin_error(address, twins[address]))) if address in twins else state


def _diverged(store: Store) -> dict[str, list[Manifest]]:
    """Address of a model → the records of its trainings that diverged."""
    found: dict[str, list[Manifest]] = {}
    for manifest in store.manifests("models"):
        if diverged_at(manifest) is not None:
            found.setdefault(manifest["model"], []).append(manifest)
    return found


def _or_diverged(inputs: Inputs, state: State, records: Sequence[Manifest]) -> State:
    """The state, unless its model was trained from today's inputs and diverged."""
    if state.done or not records:
        return state
    now = json.loads(canonical(training_inputs(state.cell, inputs.declared(state.cell))))
    same = next((record for record in records if not list(_changes(record["declared"], now))), None)
    return State(state.cell, None, how_it_diverged(same), diverged=True) if same else state


def training_inputs(cell: Cell, declared: Mapping[str, Any]) -> dict[str, Any]:
    """Of what a cell declares, all that decides its tuned model, and where that is trained."""
    assert cell.model.recipe is not None
    words = {cell.model.recipe.format, *(task for task, _ in cell.model.recipe.mixture)}
    rows = {name: rows for name, rows in declared["rows"].items() if name.startswith(("learned", "chosen"))}
    code = {name: found for name, found in declared["code"].items() if name in words}
    shared = {name: declared[name] for name in ("checkpoint", "engine", "tuning")}
    return {**shared, "rows": rows, "code": code, "precision": cell.precision, "device": cell.device}


def diverged_at(record: Mapping[str, Any]) -> int | None:
    """The step before which a training was given up, of its record; 0 for a rule none of whose rates held."""
    if "chosen_for" in record:
        return 0 if record["learning_rate"] is None else None
    at: int | None = record["training"]["diverged_at"]
    return at


def how_it_diverged(record: Mapping[str, Any]) -> str:
    """One sentence: what was tried, and where it ended."""
    if "chosen_for" in record:
        return f"diverged at every rate of its rule ({', '.join(map(exact, record['diverged']))})"
    at = record["training"]["diverged_at"]
    return f"diverged at step {at + 1} (loss or gradient not finite); a lower learning_rate is another model"


def state_of(inputs: Inputs, cell: Cell, results: Sequence[Manifest], besides: Collection[str] = ()) -> State:
    """One cell against what the store holds of its address: done where one result was made from today's inputs.

    Which was made last does not matter. Where none fits, the reason is what parts the nearest one from today.
    besides: inputs that may differ, by their dotted names.
    """
    if not results:
        return State(cell, None, "not run")
    declared = json.loads(canonical(inputs.declared(cell)))
    parted: list[dict[str, str]] = [
        {name: change for name, change in _changes(result["declared"], declared) if name not in besides}
        for result in results
    ]
    for result, changes in zip(results, parted, strict=True):
        if not changes:
            return State(cell, result, "")
    nearest, places = min(parted, key=len), inputs.places(cell)
    return State(cell, None, "; ".join(_told(name, change, places) for name, change in nearest.items()))


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, what was and what is) of every input that differs; what is not at hand differs from nothing."""
    for key in sorted({*before, *now}):
        was, is_ = before.get(key), now.get(key)
        if isinstance(was, Mapping) and isinstance(is_, Mapping):
            yield from _changes(was, is_, f"{path}{key}.")
        elif is_ != UNKNOWN and (type(was) is not type(is_) or was != is_):
            yield f"{path}{key}", f"{path}{key} changed: {_short(was)} → {_short(is_)}"


def _told(name: str, change: str, places: Mapping[str, str]) -> str:
    """The change by its place, where it is of a file: the name of the input alone points to none."""
    return places[name] + change.removeprefix(name) if name in places else change


def _short(value: Any) -> str:
    return f"{value[:8]}…" if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else repr(value)


def reasons(found: list[State]) -> Counter[str]:
    """How many cells would run for each reason."""
    return Counter(state.reason for state in found if state.missing)


def diverged_models(found: Sequence[State]) -> dict[Model, tuple[str, int]]:
    """Model → how its training diverged, and how many cells have no result for that."""
    lost = [state for state in found if state.diverged]
    counts = Counter(state.cell.model for state in lost)
    return {state.cell.model: (state.reason, counts[state.cell.model]) for state in lost}


def failures(found: Sequence[State], store: Store) -> dict[str, str]:
    """Address of a missing cell → why the last attempt at it, or at the whole model job to its model, failed."""
    noted = {note.get("cell") or note.get("job"): (place, note) for place, note in enumerate(store.notes("attempts"))}
    last: dict[str, str] = {}
    for state in found:
        tried = [noted[name] for name in _names(state.cell) if name in noted] if state.missing else []
        if tried:
            last[state.cell.address] = max(tried, key=lambda pair: pair[0])[1]["error"]
    return last


def _names(cell: Cell) -> tuple[str, ...]:
    """What an attempt that failed can be filed under: the cell, its model, the rule that it serves, its checkpoint."""
    return cell.address, cell.model.address, served(cell.model), cell.model.checkpoint.address


def served(model: Model) -> str:
    """Address of the model whose model job makes this one: its own, or that of the rule that it is a candidate of."""
    rule = model.recipe is not None and len(model.recipe.learning_rates) > 1
    return dataclasses.replace(model, learning_rate=None).address if rule else model.address


def facts(found: Sequence[State], failed: Mapping[str, str]) -> dict[str, Any]:
    """How far a study is, as plain data: cells in all, by model, and what failed or diverged."""
    models: dict[str, dict[str, int]] = {}
    for state in found:
        counts = models.setdefault(state.cell.model.address, {"cells": 0, "done": 0, "diverged": 0, "failed": 0})
        told = {"done": state.done, "diverged": state.diverged, "failed": state.cell.address in failed}
        for name, holds in {"cells": True, **told}.items():
            counts[name] += holds
    return {
        "cells": len(found),
        "done": sum(state.done for state in found),
        "models": models,
        "diverged": {model.address: how for model, (how, _) in diverged_models(found).items()},
        "failures": dict(failed),
    }


def other_limits(plan: Plan, store: Store) -> list[int]:
    """Row limits under which the store holds cells of this plan that the plan asks with another limit."""
    asked = {_LIMIT.sub("|n|", cell.address) for cell in plan.cells}
    found = {address: _LIMIT.search(address) for address in store.cells() if _LIMIT.sub("|n|", address) in asked}
    return sorted({int(limit[1]) for limit in found.values() if limit})
