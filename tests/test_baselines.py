"""Baselines in sets where what can be known without reading is known."""

from dataclasses import replace

import numpy as np
import pytest

from amuro.core.types import Example, Task
from amuro.run.preflight.baselines import baselines, copied_field
from amuro.tasks.metrics import load_metric

TASK = Task(
    name="pair",
    source="file:pair",
    family="inference",
    kind="classification",
    metric="accuracy",
    example=lambda row: Example("", "", {}, ""),
    fields=(("premise", "P"), ("hypothesis", "H")),
    answer_prefix="Answer:",
    instruction="",
    cluster="premise",
    splits={},
    labels=("true", "false"),
)
NOUNS = ("cup", "hat", "key", "bell")


def pairs(n: int, rule: str, data_seed: int) -> list[Example]:
    """`premise`: one word of the premise decides; `hypothesis`: one of the hypothesis; `both`: whether they agree."""
    rng = np.random.default_rng(data_seed)
    made = []
    for i in range(n):
        premise, hypothesis = rng.choice(NOUNS, 2)
        told = {"premise": premise in NOUNS[:2], "hypothesis": hypothesis in NOUNS[:2], "both": premise == hypothesis}
        inputs = {"premise": f"a {premise} .", "hypothesis": f"the {hypothesis} ."}
        made.append(Example(str(i), str(i), inputs, "true" if told[rule] else "false"))
    return made


def values(task: Task, train: list[Example], test: list[Example]) -> dict[str, float]:
    return {baseline.name: baseline.value for baseline in baselines(task, train, {"test": test})["test"]}


def test_a_shortcut_in_the_premise_is_found_by_the_bag_alone() -> None:
    """A word of the first field that gives the answer away lifts the bag of words, not the last field."""
    found = values(TASK, pairs(400, "premise", 1), pairs(400, "premise", 2))
    assert found["bag_of_words"] == 1.0
    assert found["last_field_only"] < 0.6


def test_a_shortcut_in_the_hypothesis_is_found_by_both() -> None:
    """A word of the last field that gives the answer away lifts both."""
    found = values(TASK, pairs(400, "hypothesis", 1), pairs(400, "hypothesis", 2))
    assert found["bag_of_words"] == found["last_field_only"] == 1.0


def test_what_needs_both_sides_stays_at_the_majority() -> None:
    """Agreement of two words is no word: neither baseline beats the majority by more than noise."""
    found = values(TASK, pairs(800, "both", 1), pairs(2000, "both", 2))
    assert found["majority"] == pytest.approx(0.75, abs=0.03)
    assert abs(found["bag_of_words"] - found["majority"]) < 0.03
    assert abs(found["last_field_only"] - found["majority"]) < 0.03


def test_majority_is_chosen_on_train() -> None:
    """The most frequent label of train is measured on test, even where it is rare there."""
    train = pairs(100, "both", 1)
    test = [replace(example, answer="true") for example in train[:10]]
    assert values(TASK, train, test)["majority"] == 0.0


def test_options_that_give_themselves_away_are_found() -> None:
    """A word that only right options hold is learned from the options alone, at whatever place they stand."""
    task = replace(TASK, kind="multiple_choice", labels=())
    rng = np.random.default_rng(3)

    def example(i: int) -> Example:
        options = [f"{noun} {'surely' if noun == 'hat' else 'maybe'}" for noun in rng.permutation(NOUNS)]
        return Example(str(i), str(i), {}, "hat surely", (*options[: rng.integers(1, 4)], "hat surely"))

    train, test = [example(i) for i in range(50)], [example(i) for i in range(50)]
    assert values(task, train, test) == {"options_only": 1.0}


def test_the_constant_is_the_best_on_train_not_the_most_frequent() -> None:
    """A middle answer that shares words with all others beats the most frequent one under ROUGE-L."""
    task = replace(TASK, kind="generation", metric="rouge_l", labels=())
    answers = ["zzz"] * 3 + ["what will he do next"] * 2 + [f"what will {name} do next" for name in NOUNS]
    train = [Example(str(i), str(i), {"premise": "x", "hypothesis": "y"}, a) for i, a in enumerate(answers)]
    test = [Example("t", "t", {"premise": "x", "hypothesis": "y"}, "what will she do next")]
    assert values(task, train, test)["constant_string"] == pytest.approx(0.8)


def test_the_copied_field_is_chosen_on_train() -> None:
    """The field that overlaps most with the answers of train is given back on test."""
    task = replace(TASK, kind="generation", metric="rouge_l", labels=())
    train = [Example("1", "1", {"premise": "a b", "hypothesis": "c d"}, "c d")]
    test = [Example("2", "2", {"premise": "a b", "hypothesis": "c x"}, "c d")]
    assert copied_field(task, train)(test) == pytest.approx(0.5)


def test_documents_have_no_baseline() -> None:
    """Bits per byte has no guess to beat."""
    assert baselines(replace(TASK, kind="language_modeling"), [], {"test": []}) == {"test": ()}


def test_a_metric_of_the_shelf_judges_generation() -> None:
    """Each generation task's own metric is used."""
    task = replace(TASK, kind="generation", metric="exact_match", labels=())
    train = [Example(str(i), "c", {"premise": "p", "hypothesis": "h"}, a) for i, a in enumerate("aab")]
    assert values(task, train, train)["constant_string"] == pytest.approx(2 / 3)
    assert load_metric("exact_match").higher_is_better


def test_baselines_are_read_in_the_tasks_own_metric() -> None:
    """Under an error rate the best constant has the fewest errors; a metric without a best value has no baselines."""
    written = replace(TASK, kind="generation", metric="own_metrics.error", labels=())
    rows = [
        Example(str(i), str(i), {"premise": "x", "hypothesis": "y"}, ("cup", "cup", "hat")[i % 3]) for i in range(30)
    ]
    assert values(written, rows, rows)["constant_string"] == pytest.approx(1 / 3)
    assert values(replace(written, metric="log_likelihood"), rows, rows) == {}
