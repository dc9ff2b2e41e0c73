"""How far pre-training has come: tokens are what the study says of its series now; where unknown, steps are told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import toy_table

from amuro.report.build import book
from amuro.report.exporters._charts import charts
from amuro.report.html import page
from amuro.report.model import ReportData
from amuro.results.analyze import Results, results
from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.plan import Plan
from amuro.study.store import Store


def counting(plan: Plan, tokens_per_step: int | None) -> Plan:
    """The same plan, whose series counts its tokens otherwise."""
    told = [None if tokens_per_step is None else c.step * tokens_per_step for c in plan.checkpoints]
    counted = tuple(replace(c, tokens=tokens) for c, tokens in zip(plan.checkpoints, told, strict=True))
    return replace(plan, checkpoints=counted)


@pytest.fixture(scope="module")
def toy_plan() -> Plan:
    """One small study for the whole module."""
    return planning.make(studies.parse(toy_table()))


@pytest.fixture(scope="module")
def finished(toy_plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("uncounted") / "store")
    run(toy_plan, store, lambda event: None)
    return store


@pytest.mark.parametrize("tokens_per_step", [7, None])
def test_tokens_are_those_of_the_series_as_planned_now(
    toy_plan: Plan, finished: Store, tokens_per_step: int | None
) -> None:
    """Proves that tokens told, changed or taken back after the cells were filled are those of every score, and that no
    finding is mixed by it.
    """
    found = results(counting(toy_plan, tokens_per_step), finished)
    told = set(found.evidence.scores.select("step", "tokens").unique().iter_rows())
    assert told == {(s, None if tokens_per_step is None else s * tokens_per_step) for s in (0, 1000, 10000)}
    assert not [finding for finding in found.findings if finding.evidence == "mixed"]


@pytest.fixture(scope="module")
def uncounted(toy_plan: Plan, finished: Store) -> tuple[Results, ReportData]:
    """Results and book of a series whose tokens nobody counted."""
    plan = counting(toy_plan, None)
    found = results(plan, finished)
    return found, book(plan, finished, found)


def test_findings_count_in_steps_where_tokens_are_unknown(uncounted: tuple[Results, ReportData]) -> None:
    """Proves that no step is passed off as a number of tokens, in points or in sentences."""
    points = [point for finding in uncounted[0].findings for point in finding.points if "step" in point]
    assert {point["step"] for point in points} == {0, 1000, 10000}
    assert {point["tokens"] for point in points} == {None}
    said = " ".join(finding.statement for finding in uncounted[0].findings)
    assert "from the first to the last checkpoint (log steps)" in said
    assert "tokens" not in said


def test_figures_are_over_steps_where_tokens_are_unknown(uncounted: tuple[Results, ReportData]) -> None:
    """Proves that figures of page and export have an axis of steps, and that the overview of all tasks is there."""
    html, figures = page.render(uncounted[1])
    assert "At a glance" in html
    assert "pre-training tokens" not in html
    assert "training steps (log scale)" in str(figures["study-pretraining"])
    assert ": step 10,000</title>" in str(figures["study-pretraining"])
    over = {chart.x_label for chart in charts(uncounted[1]).values() if chart.logarithmic}
    assert over == {"training steps (log scale)"}
    glance = charts(uncounted[1])["scores-world-inference"]
    assert [point.x for point in glance.lines[0].points] == [0, 1000, 10000]
