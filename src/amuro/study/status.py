"""Compares a plan with the store: which cells are done, missing or stale, and why. Reads neither rows nor weights."""

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
    """The state of one cell."""

    cell: Cell
    manifest: Manifest | None
    """The result that was made from today's inputs, or None."""
    reason: str
    """Why the cell is not done; '' if it is."""
    diverged: bool = False
    """Whether the training of the cell's model diverged. That is its result, and it is not tried again."""

    @property
    def done(self) -> bool:
        """Whether the store has a result made from today's inputs."""
        return self.manifest is not None

    @property
    def missing(self) -> bool:
        """Whether a run would fill the cell."""
        return not self.done and not self.diverged


_LIMIT = re.compile(r"\|n(\d+)\|")
"""The row limit in a cell's address."""


def states(plan: Plan, store: Store) -> list[State]:
    """Returns the state of every cell of the plan, in the plan's order."""
    results, diverged, inputs = store.cells(), _diverged(store), Inputs(plan, store)
    cell_states = [state_of(inputs, cell, results.get(cell.address, ())) for cell in plan.cells]
    twins = blocked(plan, store)
    cell_states = [_or_diverged(inputs, state, diverged.get(state.cell.model.address, ())) for state in cell_states]
    return [_or_blocked(state, twins) for state in cell_states]


def _or_blocked(state: State, twins: Mapping[str, str]) -> State:
    """Returns the state, or a state without result if the checkpoint has the weights of an earlier step."""
    address = state.cell.model.checkpoint.address
    return State(state.cell, None, str(twin_error(address, twins[address]))) if address in twins else state


def _diverged(store: Store) -> dict[str, list[Manifest]]:
    """Returns address of a model → the records of its trainings that diverged."""
    records: dict[str, list[Manifest]] = {}
    for manifest in store.manifests("models"):
        if diverged_at(manifest) is not None:
            records.setdefault(manifest["model"], []).append(manifest)
    return records


def _or_diverged(inputs: Inputs, state: State, records: Sequence[Manifest]) -> State:
    """Returns the state, or a diverged one if the model was trained from today's inputs and diverged."""
    if state.done or not records:
        return state
    now = json.loads(canonical(training_inputs(state.cell, inputs.declared(state.cell))))
    same = next((record for record in records if not list(_changes(record["declared"], now))), None)
    return State(state.cell, None, how_it_diverged(same), diverged=True) if same else state


def training_inputs(cell: Cell, declared: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the subset of a cell's declared inputs that decides its tuned model, with precision and device."""
    assert cell.model.recipe is not None
    modules = {cell.model.recipe.format, *(task for task, _ in cell.model.recipe.mixture)}
    rows = {name: rows for name, rows in declared["rows"].items() if name.startswith(("learned", "chosen"))}
    code = {name: code_digest for name, code_digest in declared["code"].items() if name in modules}
    shared = {name: declared[name] for name in ("checkpoint", "engine", "tuning")}
    return {**shared, "rows": rows, "code": code, "precision": cell.precision, "device": cell.device}


def diverged_at(record: Mapping[str, Any]) -> int | None:
    """Returns the 0-based step at which a training was given up, or None; 0 for a choice all of
    whose rates diverged.
    """
    if "chosen_for" in record:
        return 0 if record["learning_rate"] is None else None
    at: int | None = record["training"]["diverged_at"]
    return at


def how_it_diverged(record: Mapping[str, Any]) -> str:
    """Returns one sentence about a diverged training or choice of a rate: what was tried and where it ended."""
    if "chosen_for" in record:
        return f"diverged at every rate of its rule ({', '.join(map(exact, record['diverged']))})"
    at = record["training"]["diverged_at"]
    return f"diverged at step {at + 1} (loss or gradient not finite); try a lower learning_rate"


def state_of(inputs: Inputs, cell: Cell, results: Sequence[Manifest], besides: Collection[str] = ()) -> State:
    """Returns the state of one cell: done if one of its stored results was made from today's inputs.

    Which result was made last does not matter. If none fits, the reason lists the inputs in which the nearest one
    differs. `results`: the stored results of the cell's address. `besides`: dotted names of inputs that may differ.
    """
    if not results:
        return State(cell, None, "not run")
    declared = json.loads(canonical(inputs.declared(cell)))
    differences: list[dict[str, str]] = [
        {name: change for name, change in _changes(result["declared"], declared) if name not in besides}
        for result in results
    ]
    for result, changes in zip(results, differences, strict=True):
        if not changes:
            return State(cell, result, "")
    nearest, places = min(differences, key=len), inputs.places(cell)
    return State(cell, None, "; ".join(_told(name, change, places) for name, change in nearest.items()))


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yields (dotted name, sentence) for every input that differs; an input that is not at hand
    differs from nothing.
    """
    for key in sorted({*before, *now}):
        was, is_ = before.get(key), now.get(key)
        if isinstance(was, Mapping) and isinstance(is_, Mapping):
            yield from _changes(was, is_, f"{path}{key}.")
        elif is_ != UNKNOWN and (type(was) is not type(is_) or was != is_):
            yield f"{path}{key}", f"{path}{key} changed: {_short(was)} → {_short(is_)}"


def _told(name: str, change: str, places: Mapping[str, str]) -> str:
    """Returns the sentence of a change; for an input that is a file, with its description and path instead of its
    name.
    """
    return places[name] + change.removeprefix(name) if name in places else change


def _short(value: Any) -> str:
    """Returns a value for a sentence: digests are abbreviated to 8 characters."""
    return f"{value[:8]}…" if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else repr(value)


def reasons(cell_states: list[State]) -> Counter[str]:
    """Returns how many missing cells there are for each reason."""
    return Counter(state.reason for state in cell_states if state.missing)


def diverged_models(cell_states: Sequence[State]) -> dict[Model, tuple[str, int]]:
    """Returns diverged model → how its training diverged and how many cells have no result for that reason."""
    lost = [state for state in cell_states if state.diverged]
    counts = Counter(state.cell.model for state in lost)
    return {state.cell.model: (state.reason, counts[state.cell.model]) for state in lost}


def failures(cell_states: Sequence[State], store: Store) -> dict[str, str]:
    """Returns address of a missing cell → error of the last attempt at it, its model job or its checkpoint."""
    noted = {note.get("cell") or note.get("job"): (place, note) for place, note in enumerate(store.notes("attempts"))}
    last: dict[str, str] = {}
    for state in cell_states:
        attempts = [noted[name] for name in _names(state.cell) if name in noted] if state.missing else []
        if attempts:
            last[state.cell.address] = max(attempts, key=lambda pair: pair[0])[1]["error"]
    return last


def _names(cell: Cell) -> tuple[str, ...]:
    """Returns the names under which a failed attempt at a cell may be noted: cell, model, the model whose rate it
    helps to choose, checkpoint.
    """
    return cell.address, cell.model.address, served(cell.model), cell.model.checkpoint.address


def served(model: Model) -> str:
    """Returns the address of the model in whose model job this one is made: for a candidate rate,
    that of the choice.
    """
    rule = model.recipe is not None and len(model.recipe.learning_rates) > 1
    return dataclasses.replace(model, learning_rate=None).address if rule else model.address


def facts(cell_states: Sequence[State], failed: Mapping[str, str]) -> dict[str, Any]:
    """Returns the progress of a study as plain data: cell counts overall and per model, failures and divergences."""
    models: dict[str, dict[str, int]] = {}
    for state in cell_states:
        counts = models.setdefault(state.cell.model.address, {"cells": 0, "done": 0, "diverged": 0, "failed": 0})
        flags = {"done": state.done, "diverged": state.diverged, "failed": state.cell.address in failed}
        for name, holds in {"cells": True, **flags}.items():
            counts[name] += holds
    return {
        "cells": len(cell_states),
        "done": sum(state.done for state in cell_states),
        "models": models,
        "diverged": {model.address: how for model, (how, _) in diverged_models(cell_states).items()},
        "failures": dict(failed),
    }


def other_limits(plan: Plan, store: Store) -> list[int]:
    """Returns the row limits, other than the plan's, under which the store holds cells of this plan, sorted."""
    planned = {_LIMIT.sub("|n|", cell.address) for cell in plan.cells}
    matches = {address: _LIMIT.search(address) for address in store.cells() if _LIMIT.sub("|n|", address) in planned}
    return sorted({int(limit[1]) for limit in matches.values() if limit})
