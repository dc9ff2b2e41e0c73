"""The estimate of a run: arithmetic, corrected by what model jobs like those to come took, and by nothing else."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import toy_table
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.core.architectures import is_plain
from amuro.core.types import Size
from amuro.run import runner as running
from amuro.study import config as studies
from amuro.study import cost, estimates
from amuro.study import plan as planning
from amuro.study.plan import Plan
from amuro.study.store import Store

GPU = "A100-80GB"


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Two sizes of model are asked and tuned on a world's rows, on a CPU."""
    at = {"kind": "hub", "model": "a/b@step5"}
    table = toy_table(engine="torch", series={"s": {**at, "parameters": 10**6}, "l": {**at, "parameters": 10**9}})
    table["tune"][0] |= {"replicate_seeds": [], "replicate_seeds_at": []}
    return planning.make(studies.parse(table))


def estimated(plan: Plan, store: Store, series: str = "s") -> estimates.Estimate:
    cells = [cell for cell in plan.cells if cell.model.checkpoint.series == series]
    return estimates.estimate(plan, cells, cost.costs(plan, cells), store, GPU)


def note(did: cost.Work, slower: float, **other: Any) -> dict[str, Any]:
    """The ledger of a model job that did this and took `slower` times what is assumed."""
    table = toy_table(engine="torch", series={"s": {"kind": "hub", "model": "a/b@step5"}})
    asking, tuning = estimates.assumed(did, studies.parse({**table, "tune": [], "evaluate": BASES}), GPU)
    seconds = (asking + tuning) * slower
    told = {"model": "s@5", "engine": "torch", "device": "cpu", "precision": "float32", "work": asdict(did),
            "tuning_seconds": tuning * slower, "seconds": seconds, "core_seconds": seconds}  # fmt: skip
    return {**told, **other}


BASES = [{"models": "base", "sets": "world_inference/test"}]


def of_base(plan: Plan, series: str) -> cost.Work:
    cells = [c for c in plan.cells if c.model.checkpoint.series == series]
    return next(work for work in cost.costs(plan, cells).works if not work.method)


@settings(max_examples=10, deadline=None)
@given(slower=st.floats(0.1, 30))
def test_like_jobs_correct_the_estimate_and_others_do_not(plan: Plan, tmp_path_factory: Any, slower: float) -> None:
    """A ledger of the same size scales what bases take by just its own slowness; another size, device, engine,
    precision or kind of work changes nothing: one small model cannot make a large one free.
    """
    store = Store(tmp_path_factory.mktemp("store"))
    store.prepare()
    before = {name: estimated(plan, store, name) for name in ("s", "l")}
    small = of_base(plan, "s")
    others = (
        {"device": "cuda"},
        {"engine": "toy"},
        {"precision": "bfloat16"},
        {"work": asdict(replace(small, method="lora"))},
    )
    for other in others:
        store.note("ledger", note(small, slower, **other))
    assert {name: estimated(plan, store, name) for name in before} == before
    store.note("ledger", note(small, slower))
    after = {name: estimated(plan, store, name) for name in before}
    assert after["l"] == before["l"]
    assert after["s"].tuning_seconds == before["s"].tuning_seconds
    asked = estimates.assumed(small, plan.study, GPU)[0]
    assert after["s"].asking_seconds - before["s"].asking_seconds == pytest.approx(asked * (slower - 1))
    assert (after["s"].measured, after["s"].model_jobs) == (1, 2)


def test_arithmetic_follows_size_and_rows(plan: Plan, store: Store) -> None:
    """A thousand times the weights cost much more, to be asked and to be tuned, before anything has run."""
    small, large = (estimated(plan, store, name) for name in ("s", "l"))
    assert large.tuning_seconds > 100 * small.tuning_seconds > 0
    asked = [one.asking_seconds - estimates.START_SECONDS for one in (small, large)]  # a worker starts for either
    assert asked[1] > 100 * asked[0] > 0


def test_pretraining_is_counted_until_it_is_there(store: Store) -> None:
    """A series that is made here costs its own arithmetic, branches that anneal included."""
    world = {"kind": "world", "steps": [0, 100, 200]}
    table = toy_table(engine="torch", tune=[], evaluate=BASES)
    plain, annealed = (
        estimated(planning.make(studies.parse({**table, "series": {"s": {**world, **more}}})), store)
        for more in ({}, {"anneal_steps": 50})
    )
    assert plain.pretraining_seconds > 0
    assert annealed.pretraining_seconds == pytest.approx(plain.pretraining_seconds * 1.5)


def test_a_model_job_says_what_it_did(store: Store) -> None:
    """The ledger of a run holds the same amounts that the arithmetic of its plan gives, up to lengths of rows."""
    table = toy_table(series={"toy": {"kind": "toy", "steps": [1000]}})
    table["tune"][0] |= {"replicate_seeds": [], "replicate_seeds_at": []}
    plan = planning.make(studies.parse(table))
    store.prepare()
    running.run(plan, store, lambda event: None)
    planned = sorted(cost.costs(plan, plan.cells).works, key=lambda work: work.method)
    told = sorted((cost.Work(**note["work"]) for note in store.notes("ledger")), key=lambda work: work.method)
    for work, done in zip(planned, told, strict=True):
        assert (done.method, done.cells, done.rows, done.steps) == (work.method, work.cells, work.rows, work.steps)
        assert done.written == work.written
        assert (done.learned > 0) == (work.learned > 0)


def test_what_is_read_row_by_row_costs_more(plan: Plan, tmp_path: Path) -> None:
    """A kind whose rows share nothing is charged each option with its prompt and shots, and seconds of its own."""
    for kind, plain in (("opt", True), ("llama", False)):
        (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}"}}', encoding="utf-8")
        assert is_plain(tmp_path / "config.json") is plain
    assert not is_plain(None)
    cell, size = plan.cells[0], Size({"test": 100}, 20, 2, 0.0, "")
    about = plan.tasks[cell.eval_set.task]
    shared, alone = (cost.cell_tokens(about, replace(cell, shots=4), size, plain)[0] for plain in (False, True))
    assert alone > 4 * shared
    work = of_base(plan, "s")
    fast, slow = (estimates.assumed(replace(work, plain=plain), plan.study, GPU) for plain in (False, True))
    assert slow[0] > fast[0]
