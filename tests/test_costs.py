"""What a study would cost is arithmetic on stated sizes: doubled sizes double it, and what is unknown is named."""

import dataclasses
from pathlib import Path

import pytest
from conftest import toy_table

from amuro.core.types import Cell
from amuro.study import config, cost
from amuro.study import plan as planning
from amuro.study.plan import Plan

STUDIES = Path(__file__).parents[1] / "studies"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planning.make(config.load(STUDIES / "first_formats.toml"))


def test_one_cell_by_hand(plan: Plan) -> None:
    """Rows × (prompt + all labels), shots once: the sum of one label cell, computed here."""
    cell = next(c for c in plan.cells if c.eval_set.split == "test" and c.model.recipe is None)
    size = plan.tasks["paws"].size
    assert size is not None
    read, written = cost.cell_tokens(plan.tasks["paws"], dataclasses.replace(cell, shots=2, limit=100), size)
    assert written == 0
    assert read == 2 * (size.prompt_tokens + size.answer_tokens) + 100 * (size.prompt_tokens + 2 * size.answer_tokens)


def test_tuning_counts_every_epoch_and_every_rate(plan: Plan) -> None:
    """6,000 rows, three epochs; a rule over three rates is three tunings."""
    model = next(m for m in plan.models if m.recipe)
    sizes = {name: task.size for name, task in plan.tasks.items()}
    once = cost.tuning_tokens(model, sizes)
    size = plan.tasks["paws"].size
    assert size is not None
    assert once == 3 * 6000 * (size.prompt_tokens + size.answer_tokens)
    assert model.recipe is not None
    rule = dataclasses.replace(model, learning_rate=None, recipe=dataclasses.replace(
        model.recipe, learning_rates=(1e-6, 1e-5, 1e-4)))  # fmt: skip
    assert cost.tuning_tokens(rule, sizes) == 3 * once


def test_a_rule_is_tuned_in_one_job() -> None:
    """The models that a rule chooses from are made in the model job of the choice: their tuning is counted once."""
    table = toy_table()
    table["tune"][0] |= {"learning_rate": [1e-3, 1e-2, 1e-1], "replicate_seeds_at": []}
    rule = planning.make(config.parse(table))
    works = [work for work in cost.costs(rule, rule.cells).works if work.method]
    assert len(works) == 3
    assert {work.steps for work in works} == {3 * 4}


def test_flops_follow_parameters(plan: Plan) -> None:
    """Twice the parameters cost twice the arithmetic and twice the hours, and no more tokens."""
    missing = list(plan.cells)
    one, two = (cost.costs(plan, [_scaled(c, by) for c in missing]) for by in (1, 2))
    assert two.flops == pytest.approx(2 * one.flops)
    assert two.read_tokens == one.read_tokens
    assert two.gpu_hours("A100-80GB") == pytest.approx(2 * one.gpu_hours("A100-80GB"))


def test_nothing_missing_costs_nothing(plan: Plan) -> None:
    """A finished study has no cost, and downloads nothing."""
    nothing = cost.costs(plan, [])
    assert (nothing.flops, nothing.disk_mb, nothing.download_mb, nothing.unknown) == (0, 0, 0, ())


def test_an_unknown_size_is_named_and_not_guessed(plan: Plan) -> None:
    """Checkpoints without a parameter count are left out of the sums and named."""
    blind = [_scaled(c, 0) for c in plan.cells]
    found = cost.costs(plan, blind)
    assert found.flops == 0
    assert found.unknown == (plan.checkpoints[0].series,)


def _scaled(cell: Cell, by: int) -> Cell:
    own = cell.model.checkpoint
    parameters = (own.parameters or 0) * by or None
    return dataclasses.replace(
        cell, model=dataclasses.replace(cell.model, checkpoint=dataclasses.replace(own, parameters=parameters))
    )
