"""A run fills what is missing, keeps what is done, and says why anything would run again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import toy_table

from amuro.core.errors import DataError
from amuro.core.requests import RequestBatch
from amuro.engine.toy import ToyEngine
from amuro.run.executors import inline, processes
from amuro.run.executors.base import Job
from amuro.run.runner import Outcome, run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.plan import Plan
from amuro.study.status import states
from amuro.study.store import Store

Events = list[Mapping[str, Any]]


def fill(plan: Plan, store: Store) -> tuple[Outcome, Events]:
    events: Events = []
    return run(plan, store, events.append), events


def test_a_study_is_filled_once(toy_plan: Plan, store: Store) -> None:
    """Every cell gets its predictions; a second run finds nothing to do."""
    outcome, _ = fill(toy_plan, store)
    assert outcome.filled == len(toy_plan.cells)
    assert outcome.failures == []
    assert all(state.done for state in states(toy_plan, store))
    again, events = fill(toy_plan, store)
    assert again.filled == 0
    assert events == []


def test_every_prediction_is_kept_with_its_prompt(toy_plan: Plan, store: Store) -> None:
    """A row leads to the text that was read, its answers, their log-probabilities and what was right."""
    fill(toy_plan, store)
    cell = next(c for c in toy_plan.cells if str(c.eval_set) == "world_inference/test" and c.shots == 2)
    manifest = store.cells()[cell.address][0]
    frame = store.frame(manifest, "predictions.parquet")
    prompt_manifest = store.manifest("prompts", manifest["prompts"])
    assert prompt_manifest is not None
    texts = store.frame(prompt_manifest, "prompts.parquet")
    assert frame is not None
    assert texts is not None
    joined = frame.join(texts, on="prompt_hash")
    assert joined.height == frame.height == 20
    assert (frame["k_effective"] == 2).all()
    assert joined["prefix"].str.contains("the claim is").all()
    assert (frame["log_probabilities"].list.len() == 3).all()
    assert manifest["coordinates"]["shots"] == 2
    assert manifest["provenance"]["python"]


def test_the_same_study_gives_the_same_predictions(toy_plan: Plan, tmp_path: Path) -> None:
    """Two stores filled apart hold equal keys and equal rows."""
    stores = [Store(tmp_path / name) for name in "ab"]
    for store in stores:
        fill(toy_plan, store)
    first, second = ({a: [m["key"] for m in ms] for a, ms in store.cells().items()} for store in stores)
    assert first == second
    for address in first:
        frames = [s.frame(s.cells()[address][0], "predictions.parquet") for s in stores]
        assert frames[0] is not None
        assert frames[1] is not None
        assert frames[0].equals(frames[1])


def test_a_reworded_prompt_reruns_exactly_what_it_touches(
    toy_plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of one task's answer prefix its cells, and the models that learned from it, are stale, by name."""
    fill(toy_plan, store)
    import dataclasses

    from amuro.study import config
    from amuro.tasks import load_task

    def reworded(name: str, protocol: str = "corrected") -> Any:
        task = load_task(name, protocol)
        return dataclasses.replace(task, answer_prefix="in short, so") if name == "world_summary" else task

    monkeypatch.setattr(config, "load_task", reworded)
    plan = planning.make(toy_plan.study)
    stale = [state for state in states(plan, store) if not state.done]
    assert {state.cell.eval_set.task for state in stale} == {"world_summary"}
    assert all("template changed" in state.reason for state in stale)


def test_a_failing_cell_does_not_stop_the_rest(toy_plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cell that raises is noted with its reason; all others are filled, and a later run fills it."""
    real = ToyEngine.score

    def fragile(self: ToyEngine, request_batch: RequestBatch) -> list[tuple[float, ...]]:
        if request_batch.cell.eval_set.task == "world_summary" and request_batch.cell.model.recipe is None:
            raise RuntimeError("no memory left")
        return real(self, request_batch)

    monkeypatch.setattr(ToyEngine, "score", fragile)
    outcome, _ = fill(toy_plan, store)
    broken = [c for c in toy_plan.cells if c.eval_set.task == "world_summary" and c.model.recipe is None]
    assert len(outcome.failures) == len(broken) > 0
    assert outcome.filled == len(toy_plan.cells) - len(broken)
    assert all("no memory left" in note["error"] for note in store.notes("attempts"))
    monkeypatch.setattr(ToyEngine, "score", real)
    assert fill(toy_plan, store)[0].filled == len(broken)


def test_bad_rows_stop_before_any_compute(store: Store, tmp_path: Path) -> None:
    """A constant-gold file is refused in the preflight: no model was run, nothing was written."""
    rows = [f'{{"id": "{i}", "cluster": "c{i}", "text": "a.", "claim": "b.", "label": "true"}}\n' for i in range(5)]
    for split in ("train", "dev", "test", "test_ood"):
        (tmp_path / f"{split}.jsonl").write_text("".join(rows))
    table = toy_table(sources={"world_inference": f"file:{tmp_path}"})
    plan = planning.make(studies.parse(table))
    with pytest.raises(DataError, match="answers in world_inference"):
        fill(plan, store)
    assert store.cells() == {}


def test_a_rule_chooses_on_dev_and_leaves_a_record(store: Store) -> None:
    """Each rate is scored on dev, the choice is stored, and the chosen model's cells are filled."""
    table = toy_table()
    table["tune"][0] = {**table["tune"][0], "learning_rate": [1e-3, 1e-2], "replicate_seeds_at": []}
    plan = planning.make(studies.parse(table))
    outcome, _ = fill(plan, store)
    assert outcome.failures == []
    assert all(state.done for state in states(plan, store))
    choices = [m for m in store.manifests("models") if "chosen_for" in m]
    assert len(choices) == 3
    for choice in choices:
        scores = dict(choice["dev_scores"])
        assert scores[choice["learning_rate"]] == max(scores.values())


def test_a_damaged_cell_is_filled_again(toy_plan: Plan, store: Store) -> None:
    """A truncated file is found, put aside, and only that cell runs again."""
    fill(toy_plan, store)
    victim = store.cells()[toy_plan.cells[0].address][0]
    path = store.root / "cells" / victim["key"][:2] / victim["key"] / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    assert [s.cell for s in states(toy_plan, store) if not s.done] == [toy_plan.cells[0]]
    assert fill(toy_plan, store)[0].filled == 1


def test_each_model_job_writes_its_cost(toy_plan: Plan, store: Store) -> None:
    """The ledger has one line a model job, with seconds, tokens, FLOPs and peak memory."""
    fill(toy_plan, store)
    ledger = pl.DataFrame(store.notes("ledger"))
    assert set(ledger["model"]) == {model.address for model in toy_plan.models}
    assert ledger["cells"].sum() == len(toy_plan.cells)
    assert (ledger.select("tokens", "flops", "peak_memory_mb") > 0).to_numpy().all()


# -- executors: the same contract for both


def answer(payload: Mapping[str, Any], emit: Any) -> None:
    """What the jobs of the next tests do."""
    if payload["n"] == 1:
        raise DataError("row 1 is broken", cure="mend it")
    if payload["n"] == 2:
        import os

        os._exit(3)
    emit({"event": "cell", "cell": str(payload["n"])})


def jobs(numbers: list[int]) -> list[Job]:
    return [Job(f"job {n}", {"n": n}, lambda: True) for n in numbers]


@pytest.mark.parametrize("execute", [inline.execute, processes.execute])
def test_a_job_that_fails_is_reported_and_the_others_end(execute: Any) -> None:
    """An error in one job costs that job alone."""
    events: Events = []
    execute(jobs([0, 1, 3]), "test_run:answer", 2, events.append)
    assert {e["cell"] for e in events if e["event"] == "cell"} == {"0", "3"}
    lost = [e for e in events if e["event"] == "lost"]
    assert [e["job"] for e in lost] == ["job 1"]
    assert "row 1 is broken" in lost[0]["error"]


def test_a_worker_that_dies_loses_its_job_only() -> None:
    """A killed process is noticed, named with its exit code, and replaced."""
    events: Events = []
    processes.execute(jobs([2, 0, 3]), "test_run:answer", 1, events.append)
    assert {e["cell"] for e in events if e["event"] == "cell"} == {"0", "3"}
    assert [e["job"] for e in events if e["event"] == "lost"] == ["job 2"]
    assert "exit code 3" in next(e for e in events if e["event"] == "lost")["error"]


def test_jobs_that_can_never_start_do_not_hang() -> None:
    """If what a job waits for has failed, it is reported as lost and the run ends."""
    events: Events = []
    never = Job("waits", {"n": 0}, lambda: False)
    processes.execute([*jobs([1]), never], "test_run:answer", 2, events.append)
    assert {e["job"] for e in events if e["event"] == "lost"} == {"job 1", "waits"}
