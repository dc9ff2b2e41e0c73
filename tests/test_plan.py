"""The grid is what the study says: each square once, with its role, before anything is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import toy_table

from amuro.core.errors import StudyError
from amuro.study import config as studies
from amuro.study import grid
from amuro.study import plan as planning
from amuro.study.plan import Plan


def test_addresses_are_unique_and_every_cell_has_a_role(toy_plan: Plan) -> None:
    """An address names one square, so a store can never confuse two."""
    addresses = [cell.address for cell in toy_plan.cells]
    assert len(set(addresses)) == len(addresses)
    assert set(addresses) == set(toy_plan.roles)


def test_a_role_is_a_relation_to_the_recipe(toy_plan: Plan) -> None:
    """The same set is `in_domain` for the model tuned on it, `base` for the base; the corpus is its own role."""
    roles = {(c.model.recipe is not None, str(c.eval_set)): toy_plan.roles[c.address] for c in toy_plan.cells}
    assert roles[True, "world_inference/test"] == "in_domain"
    assert roles[False, "world_inference/test"] == "base"
    assert roles[True, "world_summary/test"] == "cross_task"
    assert roles[True, "world_corpus/test"] == "corpus"


def test_label_cells_bring_the_dev_cells_that_calibrate_them(toy_plan: Plan) -> None:
    """For each label cell there is a dev cell of the same model, format and number of shots."""
    asked = {(c.model, c.format, c.shots) for c in toy_plan.cells if str(c.eval_set) == "world_inference/test"}
    dev = {(c.model, c.format, c.shots) for c in toy_plan.cells if str(c.eval_set) == "world_inference/dev"}
    assert asked == dev


def test_more_seeds_run_only_where_the_study_says(toy_plan: Plan) -> None:
    """Replicates cost a tuning run each, so they exist at the named step and nowhere else."""
    seeds = {(m.checkpoint.step, m.tune_seed) for m in toy_plan.models if m.recipe}
    assert seeds == {(0, 0), (1000, 0), (10000, 0), (10000, 1)}


def test_a_rule_adds_the_models_that_it_chooses_from() -> None:
    """Two rates make, beside the model that waits for the choice, one model a rate with a dev cell."""
    table = toy_table()
    table["tune"][0] = {**table["tune"][0], "learning_rate": [1e-3, 1e-2], "replicate_seeds_at": []}
    plan = planning.make(studies.parse(table))
    chosen = next(m for m in plan.models if m.recipe and m.learning_rate is None)
    members = grid.candidates(chosen)
    assert [m.learning_rate for m in members] == [1e-3, 1e-2]
    assert all({c.eval_set.split for c in plan.cells_by_model()[m]} == {"dev"} for m in members)


def test_a_step_that_no_series_has_is_refused() -> None:
    """A recipe for a step that does not exist stops with the steps that do."""
    table = toy_table()
    table["tune"][0] = {**table["tune"][0], "checkpoints": [999]}
    with pytest.raises(StudyError, match=r"999.*1000"):
        planning.make(studies.parse(table))


def test_a_recipe_change_changes_the_address() -> None:
    """Another number of epochs is another model, so its cells are missing rather than silently old."""
    table = toy_table()
    before = {m.address for m in planning.make(studies.parse(table)).models if m.recipe}
    table["tune"][0] = {**table["tune"][0], "epochs": 2}
    after = {m.address for m in planning.make(studies.parse(table)).models if m.recipe}
    assert before.isdisjoint(after)


def test_planning_imports_neither_torch_nor_datasets() -> None:
    """`amuro plan` answers without loading a deep-learning library."""
    code = (
        "import sys; from pathlib import Path; from amuro.study import config, plan;"
        "plan.make(config.load(Path('studies/demo.toml')));"
        "sys.exit(bool({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
