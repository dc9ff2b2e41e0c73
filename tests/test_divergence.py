"""A training that diverges is a result: kept, told, never tried again, and no burden on what stands beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import small_study
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amuro.core.errors import StudyError
from amuro.core.requests import RequestBatch, Training
from amuro.core.types import Model
from amuro.engine.base import Sequences
from amuro.engine.toy import ToyEngine
from amuro.results import analyze
from amuro.results.scoring import cell_value
from amuro.run.runner import Outcome, run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.plan import Plan
from amuro.study.status import failures, states
from amuro.study.store import Store

TOO_HIGH = 0.5
TUNED: list[str] = []


@pytest.fixture(autouse=True)
def _diverging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy engine loses its footing at rates from 0.5 on, and the address of each model that it tunes is kept."""
    TUNED.clear()
    real = ToyEngine.tune

    def tune(self: ToyEngine, sequences: Sequences, model: Model, learning_rate: float, on_step: Any) -> Training:
        TUNED.append(model.address)
        training = real(self, sequences, model, learning_rate, on_step)
        if learning_rate < TOO_HIGH:
            return training
        return dataclasses.replace(training, losses=training.losses[:1], steps=1, diverged_at=1)

    monkeypatch.setattr(ToyEngine, "tune", tune)


def plan_of(folder: Path, rates: list[float], **changes: Any) -> Plan:
    rates_text = str(rates if len(rates) > 1 else rates[0])
    path = small_study.write(folder, small_study.TUNE.replace("[1e-3, 1e-2]", rates_text))
    return planning.make(studies.load(path, **changes))


def fill(plan: Plan, store: Store) -> Outcome:
    return run(plan, store, lambda event: None)


def test_one_bad_rate_leaves_the_model_to_the_others(tmp_path: Path, store: Store) -> None:
    """The good rates compete and every cell of the model is filled; the bad rate's own dev cells have diverged."""
    plan = plan_of(tmp_path, [1e-3, 1.0, 1e-2])
    outcome = fill(plan, store)
    assert outcome.failures == []
    found = states(plan, store)
    lost = [state for state in found if state.diverged]
    assert lost
    assert {state.cell.model.learning_rate for state in lost} == {1.0}
    assert all(state.done for state in found if not state.diverged)
    assert all("diverged at step 2" in state.reason for state in lost)
    TUNED.clear()
    assert fill(plan, store) == Outcome()
    assert TUNED == []


@pytest.mark.parametrize("rates", [[1.0], [1.0, 2.0]])
def test_a_model_that_diverged_is_recorded_and_not_tried_again(
    rates: list[float], tmp_path: Path, store: Store
) -> None:
    """At its one rate, or at every rate of a rule: no failure, nothing left to run, and the report names it."""
    plan = plan_of(tmp_path, rates)
    outcome = fill(plan, store)
    assert outcome.failures == []
    assert outcome.diverged
    found = states(plan, store)
    assert {state.cell.model.recipe is None for state in found if state.done} == {True}
    assert not [state for state in found if state.missing]
    assert failures(found, store) == {}
    TUNED.clear()
    fill(plan, store)
    assert TUNED == []
    told = analyze.results(plan, store).flags
    named = {flag.where for flag in told if flag.name == "training diverged"}
    assert {state.cell.model.address for state in found if state.diverged} == named


def test_what_a_training_stands_on_decides_whether_it_is_tried_again(tmp_path: Path, store: Store) -> None:
    """Another precision, and other words of the task that is learned, are other trainings; other rows asked are not."""
    plan = plan_of(tmp_path, [1.0])
    fill(plan, store)
    for changes, again in (({"precision": "bfloat16"}, True), ({}, False)):
        TUNED.clear()
        fill(plan_of(tmp_path, [1.0], **changes), store)
        assert bool(TUNED) is again
    path = small_study.write(tmp_path, small_study.TUNE.replace("[1e-3, 1e-2]", "1.0"))
    text = path.read_text(encoding="utf-8")
    for edited, again in ((text.replace("limit = 5\nformats", "limit = 4\nformats"), False),
                          (text.replace("Mood:", "It is"), True)):  # fmt: skip
        assert edited != text
        path.write_text(edited, encoding="utf-8")
        TUNED.clear()
        fill(planning.make(studies.load(path)), store)
        assert bool(TUNED) is again


def test_rates_without_dev_rows_are_refused_by_the_plan(tmp_path: Path) -> None:
    """A rule that could look at nothing would take the first rate: it is refused with the task's name."""
    path = small_study.write(tmp_path, small_study.TUNE)
    path.write_text(path.read_text(encoding="utf-8").replace('dev = "dev", ', ""), encoding="utf-8")
    with pytest.raises(StudyError, match=r"mood has no dev split"):
        planning.make(studies.load(path))


def test_a_dev_cell_that_failed_decides_nothing(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one rate could not be asked, no rate is chosen; when it can be, the next run chooses."""
    real = ToyEngine.score

    def fragile(self: ToyEngine, request_batch: RequestBatch) -> list[tuple[float, ...]]:
        if request_batch.cell.model.learning_rate == 1e-3 and request_batch.cell.model.checkpoint.step == 10:
            raise MemoryError
        return real(self, request_batch)

    monkeypatch.setattr(ToyEngine, "score", fragile)
    plan = plan_of(tmp_path, [1e-3, 1e-2])
    outcome = fill(plan, store)
    assert any("no rate can be chosen" in line for line in outcome.failures)
    assert any("out of memory" in line for line in outcome.failures)
    assert len([m for m in store.manifests("models") if m.get("chosen_for")]) == 3
    found = states(plan, store)
    assert set(failures(found, store)) == {state.cell.address for state in found if state.missing}
    monkeypatch.setattr(ToyEngine, "score", real)
    fill(plan, store)
    assert all(state.done for state in states(plan, store))


@settings(max_examples=1, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gains=st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_a_choice_stands_on_the_models_own_dev_results(gains: list[float], tmp_path: Path) -> None:
    """Results of another study under the same addresses decide nothing: each choice is what its own dev cells say."""
    store = Store(tmp_path / f"store{gains}")
    for gain in gains:
        plan = plan_of(tmp_path, [1e-3, 1e-2], toy={"gain": gain})
        fill(plan, store)
    manifests = {m["address"]: m for s in states(plan, store) if (m := s.manifest)}
    for chosen in (m for m in store.manifests("models") if m.get("chosen_for")):
        if chosen["declared"]["engine"] != planning.engine_name(plan.study):
            continue
        for rate, score in chosen["dev_scores"]:
            (cell,) = (c for c in plan.cells if c.model.address == f"{chosen['chosen_for']}/lr{rate:g}"
                       and c.eval_set.split == "dev")  # fmt: skip
            frame = store.frame(manifests[cell.address], "predictions.parquet")
            assert frame is not None
            assert score == cell_value(plan.tasks["mood"], frame)
