"""The paper's whole protocol from plan to scores, on the toy engine and six rows a set."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from real_rows import PAPER_ROWS

from amuro.results import scoring
from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.status import states
from amuro.study.store import Store
from amuro.tasks import load_task


@pytest.fixture(scope="module")
def totals(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """One row a cell and metric: every set of the paper asked with two shots, a base beside MNLI and Tülu tuning."""
    root = tmp_path_factory.mktemp("paper")
    sources, sets = {}, []
    for name, rows in PAPER_ROWS.items():
        task = load_task(name, "paper")
        folder = root / name
        folder.mkdir()
        for split in set(task.splits.values()):
            write(folder / f"{split}.jsonl", rows)
        sources[name] = f"file:{folder}"
        sets += [f"{name}/{split}" for split in task.splits if split.startswith("test")]
    tune = {"rows": 4, "epochs": 1, "learning_rate": 1e-3}
    study = studies.parse(
        {
            "name": "paper", "engine": "toy", "protocol": "paper", "sources": sources,
            "series": {"toy": {"kind": "toy", "steps": [100]}},
            "tune": [{"name": "mnli", "tasks": ["mnli"], **tune}, {"name": "tulu", "tasks": ["tulu"], **tune}],
            "evaluate": [{"models": ["base", "tuned"], "sets": sets, "shots": [2]}],
        }
    )  # fmt: skip
    plan, store = planning.make(study), Store(root / "store")
    outcome = run(plan, store, lambda event: None)
    assert (outcome.filled, outcome.failures) == (3 * 19, [])
    done = {s.cell.address: s.manifest for s in states(plan, store) if s.manifest}
    return scoring.tables(store, done, plan.roles, plan.tasks, plan.checkpoints)[1]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """The rows twice, each under a name of its own where it has one."""
    named = [
        {**row, **{key: f"{row[key]}.{turn}" for key in ("id", "qid") if key in row}} for turn in "ab" for row in rows
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in named), encoding="utf-8")


def test_every_set_has_its_primary_metric(totals: pl.DataFrame) -> None:
    """All 18 tasks that the paper asks are scored in the metric that it reports, under its protocol."""
    asked = set(PAPER_ROWS) - {"tulu"}
    assert set(totals["task"]) == asked
    assert set(totals["protocol"]) == {"paper"}
    for name in asked:
        assert load_task(name, "paper").metric in set(totals.filter(pl.col("task") == name)["metric"])


def test_multiple_choice_has_its_three_normalisations(totals: pl.DataFrame) -> None:
    """Raw, a token, and less the unconditional likelihood, side by side."""
    ways = {"accuracy", "accuracy_per_token", "accuracy_unconditional"}
    for name in ("arc_easy", "arc_challenge", "openbookqa", "hellaswag", "sciq_choice"):
        assert ways <= set(totals.filter(pl.col("task") == name)["metric"])


def test_hidden_golds_are_degenerate_by_name(totals: pl.DataFrame) -> None:
    """Whatever a model says of QQP and STS-B in the paper's split, the score is marked as saying nothing."""
    hidden = totals.filter(pl.col("task").is_in(["qqp", "stsb"]))
    assert set(hidden["evidence"]) == {"degenerate"}
    assert set(hidden["majority"]) == {1.0}
