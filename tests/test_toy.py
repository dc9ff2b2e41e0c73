"""The toy engine: its simulator parameters do what they say, its words are reproducible, and it needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amuro.core.errors import AmuroError
from amuro.core.requests import Request, RequestBatch
from amuro.core.types import Cell, Checkpoint, EvalSet, Model, Recipe
from amuro.engine.base import Engine
from amuro.engine.toy import SimulatorParameters, ToyEngine, ability, shown_skill

LATE = Checkpoint("toy", 1000, 10**7, 10**7, "constant", "toy")
EARLY = replace(LATE, step=1, tokens=10**4)
RECIPE = Recipe("r", (("t", 1.0),), rows=8, epochs=2, learning_rates=(1e-3,), batch_size=4)
TUNED = Model(LATE, RECIPE, "digest", 0, 1e-3)
COUNT = 400
QUIET = SimulatorParameters(seed_noise=0.0)


def make_ask(model: Model, split: str = "test", task: str = "t", format_name: str = "default") -> RequestBatch:
    cell = Cell(model, EvalSet(task, split), format_name, 0, 0, "", "p", COUNT, "float32", "cpu")
    requests = tuple(Request(f"q{i}", (1, 2), ((3,), (4, 5), (6,)), gold=i % 3) for i in range(COUNT))
    golds = tuple(f"the answer number {i} is long" for i in range(COUNT))
    return RequestBatch(cell, (), requests, ("\n",), 30, golds)


def live(model: Model, parameters: SimulatorParameters = QUIET) -> ToyEngine:
    engine = ToyEngine(parameters)
    engine.load(model.checkpoint, None)
    if model.recipe:
        engine.tune([((1, 2), (3, 0))] * 8, model, 1e-3, lambda *_: None)
    return engine


def accuracy(model: Model, parameters: SimulatorParameters = QUIET, **where: str) -> float:
    request_batch = make_ask(model, **where)
    scores = live(model, parameters).score(request_batch)
    return (
        sum(max(range(3), key=row.__getitem__) == q.gold for row, q in zip(scores, request_batch.requests, strict=True))
        / COUNT
    )


def test_same_coordinates_same_words() -> None:
    """Two engines give one cell the same scores and texts; another tuning seed gives others."""
    request_batch, other = make_ask(TUNED), replace(TUNED, tune_seed=1)
    assert live(TUNED).score(request_batch) == live(TUNED).score(request_batch)
    assert live(TUNED).generate(request_batch, str) == live(TUNED).generate(request_batch, str)
    assert live(other).score(make_ask(other)) != live(TUNED).score(request_batch)


def test_tuning_shows_what_pre_training_hid() -> None:
    """The base sits near chance, the early checkpoint stays there when tuned, the late one gains."""
    assert accuracy(Model(LATE)) == pytest.approx(1 / 3, abs=0.12)
    assert accuracy(replace(TUNED, checkpoint=EARLY)) < 0.45
    assert accuracy(TUNED) > 0.75


@pytest.mark.parametrize(
    ("dial", "where"),
    [
        ({"transfer": 0.0}, {"split": "test_ood"}),
        ({"format_effect": 1.0}, {"format_name": "instruct"}),
        ({"gain": 0.0}, {}),
        ({"forgetting": 1.0, "shown": 1.0}, {"task": "other"}),
    ],
    ids=["transfer", "format", "gain", "forgetting"],
)
def test_each_dial_can_take_the_ability_away(dial: dict[str, float], where: dict[str, str]) -> None:
    """At its end of the scale each parameter leaves the tuned model guessing where it acts, and only there."""
    plenty = replace(QUIET, shown=1.0 if "task" in where else 0.1)
    assert accuracy(TUNED, replace(plenty, **dial), **where) < 0.5
    if where and "task" not in where:
        assert accuracy(TUNED, replace(plenty, **dial)) > 0.75


def test_ability_can_be_shown_in_one_task_only() -> None:
    """`shown_in` makes a task that is learned in pre-training beside one that is latent."""
    parameters = replace(QUIET, shown_in={"fact": 1.0})
    assert accuracy(Model(LATE), parameters, task="fact") > 0.75
    assert accuracy(Model(LATE), parameters, task="t") < 0.5


def test_base_prefers_the_first_label_and_tuning_cures_it() -> None:
    """The bias simulator parameter shows in what the base predicts, not in what the tuned model does."""
    biased = replace(QUIET, label_bias=5.0)
    firsts = [
        sum(row[0] == max(row) for row in live(model, biased).score(make_ask(model))) / COUNT
        for model in (Model(LATE), TUNED)
    ]
    assert firsts[0] > 0.8
    assert firsts[1] < 0.5


@given(
    tokens=st.integers(0, 10**13),
    parameters=st.builds(
        SimulatorParameters,
        **{name: st.floats(0, 1) for name in ("shown", "gain", "transfer", "forgetting", "format_effect")},
    ),
    split=st.sampled_from(["test", "test_ood"]),
    task=st.sampled_from(["t", "other"]),
)
def test_skill_is_a_share(tokens: int, parameters: SimulatorParameters, split: str, task: str) -> None:
    """Whatever the simulator parameters, skill lies in 0…1 and no base shows more than its ability."""
    checkpoint = replace(LATE, tokens=tokens)
    for model in (Model(checkpoint), replace(TUNED, checkpoint=checkpoint)):
        skill = shown_skill(parameters, model, make_ask(model, split, task).cell)
        assert 0 <= skill <= 1
        if model.recipe is None:
            assert skill <= ability(parameters, model, task)


def test_log_probabilities_are_plausible() -> None:
    """Options have negative log-probabilities that differ, and a document's falls with its length."""
    engine, request_batch = live(Model(LATE)), make_ask(Model(LATE))
    assert all(value < 0 for row in engine.score(request_batch) for value in row)
    assert all(len(set(row)) == 3 for row in engine.score(request_batch))
    documents = tuple(Request("d", (0,), ((5,) * length,), 0) for length in (10, 20))
    short, long = engine.score(replace(request_batch, requests=documents))
    assert long[0] == pytest.approx(2 * short[0])


def test_texts_are_gold_or_wrong_and_tuning_learns_to_stop() -> None:
    """A tuned late model mostly says the gold and always stops; a base mostly does neither."""
    shares = []
    for model in (Model(LATE), TUNED):
        request_batch = make_ask(model)
        said = live(model).generate(request_batch, str)
        right = sum(g.text == gold for g, gold in zip(said, request_batch.golds, strict=True)) / COUNT
        shares.append((right, sum(g.stopped for g in said) / COUNT))
        assert all(g.tokens == len(g.text.split()) <= 30 for g in said)
    (base_right, base_stopped), (tuned_right, tuned_stopped) = shares
    assert base_right < 0.3 < 0.7 < tuned_right
    assert base_stopped < 0.5 < tuned_stopped == 1.0


def test_training_has_a_curve_and_counts() -> None:
    """The pretended tuning has the recipe's steps, a falling loss, and the tokens of all epochs."""
    engine = ToyEngine()
    engine.load(LATE, None)
    told: list[tuple[int, int, float]] = []
    training = engine.tune([((1, 2, 3), (4, 0))] * 10, TUNED, 1e-3, lambda *step: told.append(step))
    assert told == [(i + 1, 6, loss) for i, loss in enumerate(training.losses)]
    assert list(training.losses) == sorted(training.losses, reverse=True)
    assert (training.tokens, training.answer_tokens) == (100, 40)


def test_wrong_use_is_refused() -> None:
    """A cell of another model, an unloaded engine, a base to tune and a foreign checkpoint stop by name."""
    with pytest.raises(AmuroError, match="call load"):
        ToyEngine().score(make_ask(Model(LATE)))
    with pytest.raises(AmuroError, match="toy@1000"):
        live(Model(LATE)).score(make_ask(TUNED))
    with pytest.raises(AmuroError, match="no recipe"):
        live(Model(LATE)).tune([((1,), (2,))], Model(LATE), 1e-3, lambda *_: None)
    with pytest.raises(AmuroError, match="does not start at toy@1000"):
        live(Model(LATE)).tune([((1,), (2,))], replace(TUNED, checkpoint=EARLY), 1e-3, lambda *_: None)


def test_it_is_an_engine(tmp_path: Path) -> None:
    """Digest, reset, save and the facts of the protocol behave as the model jobs expect."""
    engine: Engine = live(TUNED)
    tuned = engine.weights_digest()
    engine.save(tmp_path / "toy")
    assert json.loads((tmp_path / "toy" / "config.json").read_text())["model"] == TUNED.address
    engine.reset()
    assert engine.weights_digest() != tuned
    engine.score(make_ask(Model(LATE)))
    assert engine.flops_per_token() > 0
    assert engine.context_length() > 10**5


def test_no_torch_is_imported() -> None:
    """A whole toy engine answers in a process that never loads torch or transformers."""
    program = "import sys, amuro.engine.toy; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
