"""Equal weights under two steps: the later step is blocked, whoever loads what first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from weight_files import files, write

from amuro.core.errors import SeriesError
from amuro.engine.toy import ToyEngine
from amuro.prompts.tokenizer import Encoder
from amuro.run.worker import Worker
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.plan import Plan
from amuro.study.status import states
from amuro.study.store import Store


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Steps 1 and 2 with equal weights, step 3 with others."""
    for step, fill in ((1, 0), (2, 0), (3, 1)):
        tensors = {"model.embed_tokens.weight": np.full((257, 4), fill, np.float32)}
        folder = write(tmp_path / "made" / f"step{step}", files(tensors))
        Encoder.of_bytes().tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "config.json").write_text('{"model_type": "olmo2", "eos_token_id": 0}')
    return planned(tmp_path)


def planned(place: Path, **allowed: bool) -> Plan:
    table = {
        "name": "twins", "engine": "toy", "dev_limit": 10,
        "series": {"made": {"kind": "folder", "path": str(place / "made"), **allowed}},
        "evaluate": [{"models": ["base"], "sets": ["world_inference/test"], "limit": 6}],
    }  # fmt: skip
    return planning.make(studies.parse(table))


def run_job(plan: Plan, store: Store, step: int, told: list[str] | None = None) -> None:
    """What one worker does with one checkpoint; `told` takes the cells that it calls failed."""

    def emit(event: Mapping[str, Any]) -> None:
        if told is not None and event["event"] == "failed":
            told.append(event["cell"])

    model, cells = next(
        (model, cells) for model, cells in plan.cells_by_model().items() if model.checkpoint.step == step
    )
    Worker(plan, store, ToyEngine(), emit).run_model(model, cells)


def counted(plan: Plan, store: Store) -> set[int]:
    """Steps whose cells count as done."""
    return {state.cell.model.checkpoint.step for state in states(plan, store) if state.done}


class Meeting(Store):
    """A store at which another worker arrives just before or after this one records its weights."""

    def __init__(self, root: Path, arrive: Callable[[], None], before: bool) -> None:
        super().__init__(root)
        self.arrive, self.before = arrive, before

    def commit(self, kind: str, key: str, facts: Mapping[str, Any], files: Mapping[str, pl.DataFrame]) -> None:
        if kind == "checkpoints" and self.before:
            self.arrive()
        super().commit(kind, key, facts, files)
        if kind == "checkpoints" and not self.before:
            self.arrive()


@pytest.mark.parametrize("order", [(1, 2, 3), (2, 1, 3), (3, 2, 1)])
def test_the_later_step_is_blocked_in_any_order(plan: Plan, store: Store, order: tuple[int, ...]) -> None:
    """Proves that the earliest step counts and the later one does not, though it be loaded and filled first; that this
    is told by name; and that a series which allows duplicates keeps both.
    """
    told: list[str] = []
    later = next(checkpoint.address for checkpoint in plan.checkpoints if checkpoint.step == 2)
    for step in order:
        if step == 2 and order.index(1) < order.index(2):
            with pytest.raises(SeriesError, match=f"{later} has the same weights as"):
                run_job(plan, store, step)
        else:
            run_job(plan, store, step, told)
    assert counted(plan, store) == {1, 3}
    reasons = {state.reason for state in states(plan, store) if not state.done}
    assert all("has the same weights as" in reason for reason in reasons)
    assert told == ([later] if order.index(2) < order.index(1) else [])


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("mine", "theirs"), [(1, 2), (2, 1)])
def test_two_workers_that_load_twins_at_once_find_it(
    plan: Plan, store: Store, mine: int, theirs: int, before: bool
) -> None:
    """Proves that whichever of two workers records its weights first, the later step does not count."""

    def arrive() -> None:
        with suppress(SeriesError):
            run_job(plan, store, theirs)

    with suppress(SeriesError):
        run_job(plan, Meeting(store.root, arrive, before), mine)
    assert counted(plan, store) == {1}


def test_duplicates_that_are_allowed_are_both_studied(plan: Plan, store: Store, tmp_path: Path) -> None:
    """Proves that nothing is blocked in a series that allows duplicates."""
    allowed = planned(tmp_path, allow_duplicates=True)
    for step in (2, 1):
        run_job(allowed, store, step)
    assert counted(allowed, store) == {1, 2}
