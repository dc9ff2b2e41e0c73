"""What the data do not hold is said by the plan, once for all models, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import small_study
from conftest import toy_table
from typer.testing import CliRunner

from amuro.cli.main import app
from amuro.core.errors import DataError, StudyError
from amuro.run import runner as running
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study import row_counts
from amuro.study.plan import Plan
from amuro.study.store import Store


def small(tmp_path: Path, **changes: Any) -> Plan:
    """The study over forty rows of each split, with keys of its recipe and its block changed."""
    table = studies.load(small_study.write(tmp_path, small_study.TUNE)).model_dump(mode="json")
    table["tune"][0] |= {"rows": changes.get("rows", 8)}
    table["evaluate"][0] |= {"shots": changes.get("shots", 0)}
    return planning.make(studies.parse(table))


def test_more_rows_than_there_are_are_refused_by_plan(tmp_path: Path) -> None:
    """A recipe of 3,000 rows over 40: one sentence of `amuro plan` with the number that is there."""
    path = small_study.write(tmp_path, small_study.TUNE.replace("rows = 8", "rows = 3000"))
    found = CliRunner().invoke(app, ["plan", str(path), "--store", str(tmp_path / "store")])
    assert isinstance(found.exception, DataError)
    assert "3,000 training rows of mood, which has 40; set rows = 40" in str(found.exception)


def test_rows_of_the_world_are_counted_without_being_drawn() -> None:
    """The embedded world has 4,000 training rows of each task, whatever its seed."""
    table = toy_table()
    table["tune"][0]["rows"] = 4001
    plan = planning.make(studies.parse(table))
    with pytest.raises(DataError, match=r"4,001 .* has 4,000"):
        row_counts.check(plan, plan.cells, only_here=True)


@pytest.mark.parametrize(("pinned", "refused"), [(True, True), (False, False)])
def test_rows_of_the_hub_are_refused_where_they_are_known(pinned: bool, refused: bool) -> None:
    """What a task states of its data set holds for the revision that it pins, and for no other."""
    other = {} if pinned else {"revisions": {"mnli": "0" * 40}}
    table = toy_table(series={"s": {"kind": "hub", "model": "a/b@step5"}}, **other)
    table["tune"] = [{"name": "t", "tasks": "mnli", "rows": 10**8, "learning_rate": 1e-5}]
    table["evaluate"] = [{"models": "tuned", "sets": "mnli/test_matched"}]
    plan = planning.make(studies.parse(table))
    if refused:
        with pytest.raises(DataError, match="100,000,000 training rows of mnli"):
            row_counts.check(plan, plan.cells, only_here=True)
    else:
        assert row_counts.check(plan, plan.cells, only_here=True)


def test_more_shots_than_rows_are_refused_by_plan(tmp_path: Path) -> None:
    """41 shots of a training split of 40 rows."""
    plan = small(tmp_path, shots=41)
    with pytest.raises(DataError, match="41 shots"):
        row_counts.check(plan, plan.cells, only_here=True)


def test_files_tell_their_size(tmp_path: Path) -> None:
    """Rows are counted, and tokens guessed from their characters, so that own data has an estimate as well."""
    plan = small(tmp_path)
    size = row_counts.check(plan, plan.cells, only_here=True)["mood"]
    assert size is not None
    assert size.rows == {"dev": 40, "test": 40, "train": 40}
    assert 5 < size.prompt_tokens < 15
    assert size.answer_tokens == 1


def test_a_device_that_is_not_here_is_refused_once(tmp_path: Path, store: Store) -> None:
    """One sentence before any worker starts, instead of one for each model."""
    path = small_study.write(tmp_path)
    table = studies.load(path).model_dump(mode="json") | {"engine": "torch", "device": "cuda:99"}
    plan = planning.make(studies.parse(table))
    events: list[Any] = []
    with pytest.raises(StudyError, match="cuda:99"):
        running.run(plan, store, events.append)
    assert events == []
