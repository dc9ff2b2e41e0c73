"""Metrics against known values, against plain definitions, and against bad input."""

import dataclasses
import math
import time

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amuro.core import registry
from amuro.core.errors import DataError
from amuro.core.types import Example, Task
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import Context, chosen, label_prior
from amuro.tasks.metrics.f1 import f1
from amuro.tasks.metrics.rouge_l import ascii_words, longest_common_subsequence, rouge_l

TASK = Task(
    name="mood",
    source="file:mood",
    family="mood",
    kind="classification",
    metric="accuracy",
    example=lambda row: Example("", "", {}, ""),
    fields=(),
    answer_prefix="",
    instruction="",
    cluster="",
    splits={},
    labels=("yes", "no"),
    answer_suffix=" .",
)


def labelled(golds: list[str], scores: list[list[float]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "example_id": [str(i) for i in range(len(golds))],
            "gold": golds,
            "gold_index": [TASK.labels.index(gold) for gold in golds],
            "options": [list(TASK.labels)] * len(golds),
            "log_probabilities": scores,
        }
    )


def score(name: str, frame: pl.DataFrame, prior: tuple[float, ...] = ()) -> float:
    return float(load_metric(name).score(frame, Context(TASK, prior)))


def test_accuracy_of_known_choices() -> None:
    """Two of three likeliest labels are right."""
    assert score("accuracy", labelled(["yes", "no", "no"], [[-1, -2], [-1, -2], [-3, -2]])) == pytest.approx(2 / 3)


def test_equal_options_count_as_one() -> None:
    """A row that holds its right answer twice is right whichever of the two is likelier."""
    frame = labelled(["yes"], [[-2.0, -1.0]]).with_columns(options=pl.Series([["yes", "yes"]]))
    assert score("accuracy", frame) == 1.0


def test_calibration_finds_what_a_constant_predictor_knows() -> None:
    """A model that always says yes but leans the right way is at .5 raw and at 1 once the labels' means are off."""
    scores = [[-1.0, -3.0], [-1.0, -2.0], [-1.2, -3.2], [-1.1, -2.1]]
    frame = labelled(["yes", "no", "yes", "no"], scores)
    assert score("accuracy", frame) == 0.5
    assert score("calibrated_accuracy", frame, label_prior(frame)) == 1.0


@given(st.lists(st.tuples(st.integers(-9, 0), st.integers(-9, 0)), min_size=1), st.integers(-50, 50))
def test_calibration_ignores_what_all_labels_share(pairs: list[tuple[int, int]], shift: int) -> None:
    """A constant added to every label's prior changes no prediction."""
    frame = labelled(["yes"] * len(pairs), [[float(a), float(b)] for a, b in pairs])
    assert chosen(frame, (-1.0, -2.0)).equals(chosen(frame, (-1.0 + shift, -2.0 + shift)))


def test_calibration_without_a_prior_is_refused() -> None:
    """No dev cell means no calibrated score, never a silent raw one."""
    with pytest.raises(DataError, match="0 priors for 2 labels"):
        score("calibrated_accuracy", labelled(["yes"], [[-1.0, -2.0]]))


def test_a_constant_predictor_is_at_chance_when_balanced() -> None:
    """Nine yes of ten give a constant yes .9 accuracy and .5 balanced accuracy."""
    frame = labelled(["yes"] * 9 + ["no"], [[-1.0, -2.0]] * 10)
    assert (score("accuracy", frame), score("balanced_accuracy", frame)) == (0.9, 0.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy"])
def test_a_log_probability_that_is_no_number_is_refused(name: str, bad: float | None) -> None:
    """NaN, an infinity or nothing stops with the example's id, wherever it would have ranked."""
    with pytest.raises(DataError, match="example 1 "):
        score(name, labelled(["yes", "no"], [[-1.0, -2.0], [-1.0, bad]]))  # type: ignore[list-item]


def test_log_likelihood_is_that_of_the_gold_answer() -> None:
    """The gold's own log-probability is kept, whichever label was chosen."""
    assert score("log_likelihood", labelled(["yes", "no"], [[-1.0, -2.0], [-1.0, -4.0]])) == -2.5


def test_exact_match_forgives_spaces_and_the_closing_mark_alone() -> None:
    """White space and the task's full stop do not matter; case and words do."""
    said = ["north  tower .", "north tower", " north\ttower. ", "North tower .", "north tower . .", ""]
    frame = pl.DataFrame({"output": said, "gold": ["north tower"] * len(said)})
    values = load_metric("exact_match").rows(frame, Context(TASK)).to_list()
    assert values == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("output", "gold", "value"),
    [
        ("the cat sat on the mat", "the cat was on a mat", 2 / 3),
        ("police kill the gunman", "police killed the gunman", 0.75),
        ("What will Alex want to do next?", "How would Alex feel as a result?", 1 / 7),
        ("a b c d", "d c b a", 0.25),
        ("It's 3.5 U.S. dollars", "its 3 5 us dollars", 0.5),
        ("İstanbul é", "i stanbul", 1.0),
        ("", "anything", 0.0),
        ("...", "...", 0.0),
    ],
)
def test_rouge_l_equals_the_published_package(output: str, gold: str, value: float) -> None:
    """Values computed with rouge_score 0.1.2 (rougeL F1, no stemming), odd letters and empty answers included."""
    assert rouge_l(output, gold, ascii_words) == pytest.approx(value, abs=1e-12)
    if output.isascii():
        assert rouge_l(output, gold) == pytest.approx(value, abs=1e-12)


SCRIPTS = (
    "привет мир",
    "谢谢你",
    "さようなら",
    "café à côté",
    "über öl",
    "हिन्दी में",
    "ขอบคุณ",
    "안녕 세상",
    "שלום עולם",
    "مرحبا",
)


@pytest.mark.parametrize("text", SCRIPTS)
@pytest.mark.parametrize("name", ["rouge_l", "f1", "exact_match"])
def test_a_perfect_answer_is_perfect_in_every_script(name: str, text: str) -> None:
    """The gold itself scores 1, and an answer that shares no word scores 0."""
    frame = pl.DataFrame({"output": [text, "zzz"], "gold": [text, text], "example_id": ["a", "b"]})
    assert load_metric(name).values(frame, Context(TASK)).to_list() == [1.0, 0.0]


def test_words_are_those_of_the_script() -> None:
    """Marks stay with their letters, spaced scripts go by words, unspaced ones by characters, and composed letters are
    equal to decomposed ones.
    """
    assert rouge_l("привет друг", "привет мир") == 0.5
    assert rouge_l("谢谢他", "谢谢你") == pytest.approx(2 / 3)
    assert rouge_l("cafe\u0301", "café") == 1.0
    assert rouge_l("की", "का") == 0.0
    assert rouge_l("answer: 北京!", "北京 answer") == pytest.approx(2 / 3)


def test_the_paper_keeps_the_words_of_its_package() -> None:
    """Under the paper's protocol ROUGE-L is that of rouge_score to the character: é parts words there."""
    frame = pl.DataFrame({"output": ["caf au"], "gold": ["café au"], "example_id": ["a"]})
    paper = dataclasses.replace(TASK, encoding="whole_text")
    rouge = load_metric("rouge_l")
    assert [rouge.score(frame, Context(task)) for task in (paper, TASK)] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("output", "gold", "value"),
    [
        ("The Denver Broncos", "Denver Broncos", 1.0),
        ("it's a cat", "its cat!", 1.0),
        ("Denver Broncos won", "Denver Broncos", 0.8),
        ("b a x", "x b", 1.0),
        ("x x", "x", 2 / 3),
        ("the", "the", 1.0),
        ("the", "", 0.0),
        ("😀", "😀", 1.0),
        ("😀", "!", 0.0),
    ],
)
def test_f1_is_that_of_squad(output: str, gold: str, value: float) -> None:
    """Case, punctuation, articles and order do not count, repeats do; where no word is left, equal texts are right."""
    assert f1(output, gold) == pytest.approx(value)


def test_macro_f1_is_the_mean_over_labels() -> None:
    """One yes found of two, one no of one: 2/3 each; a constant yes gets nothing for no."""
    known = labelled(["yes", "yes", "no"], [[-1, -2], [-2, -1], [-2, -1]])
    assert score("macro_f1", known) == pytest.approx(2 / 3)
    constant = labelled(["yes"] * 9 + ["no"], [[-1.0, -2.0]] * 10)
    assert score("macro_f1", constant) == pytest.approx((18 / 19) / 2)


def test_lengths_of_options_are_counted_as_the_harness_counts_them() -> None:
    """Characters for acc_norm, bytes for acc_bytes, the leading space in neither, the closing mark in both."""
    frame = pl.DataFrame(
        {
            "gold": ["ab", "ab"], "gold_index": [0, 0], "options": [["ab", "пиво"]] * 2, "example_id": ["0", "1"],
            "option_bytes": [[3 + 2, 9 + 2]] * 2, "log_probabilities": [[-4.2, -6.1], [-4.2, -11.0]],
        }
    )  # fmt: skip
    # Per character (4 and 6 with the mark) −1.05 and −1.02, −1.83; per byte (4 and 10) −1.05 and −.61, −1.10.
    assert load_metric("accuracy_per_character").values(frame, Context(TASK)).to_list() == [0.0, 1.0]
    assert load_metric("accuracy_per_byte").values(frame, Context(TASK)).to_list() == [0.0, 1.0]
    near = frame.with_columns(log_probabilities=pl.Series([[-4.2, -6.9]] * 2))
    assert load_metric("accuracy_per_character").values(near, Context(TASK)).to_list() == [1.0, 1.0]
    assert load_metric("accuracy_per_byte").values(near, Context(TASK)).to_list() == [0.0, 0.0]


words = st.lists(st.sampled_from("abcd"), max_size=80)


@given(words, words)
def test_common_subsequence_equals_the_table_of_the_textbook(first: list[str], second: list[str]) -> None:
    """The bit-parallel length is that of dynamic programming, beyond 64 tokens too."""
    table = np.zeros((len(first) + 1, len(second) + 1), int)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
    assert longest_common_subsequence(first, second) == table[-1, -1]


@given(st.text("ab c"), st.text("ab c"))
def test_rouge_l_is_symmetric_and_bounded(one: str, other: str) -> None:
    """F1 does not know which side is gold, lies in [0, 1], and is 1 for equal words."""
    assert rouge_l(one, other) == rouge_l(other, one)
    assert 0.0 <= rouge_l(one, other) <= 1.0
    assert rouge_l("x " + one, "x " + one) == 1.0


def test_rouge_l_of_ten_thousand_rows_takes_under_a_second_of_work() -> None:
    """Recomputing a study's scores must not cost minutes; CPU time, so that a busy machine does not fail it."""
    frame = pl.DataFrame({"output": ["what will they want to do after that " * 2] * 10_000, "gold": ["a b c"] * 10_000})
    start = time.process_time()
    load_metric("rouge_l").rows(frame, Context(TASK))
    assert time.process_time() - start < 1.0


def test_bits_per_byte_is_a_ratio_of_sums() -> None:
    """One bit a byte over 100 bytes and three over 300 make 2.5, not the mean of the two documents."""
    frame = pl.DataFrame({"log_probability": [-100 * math.log(2), -900 * math.log(2)], "bytes": [100, 300]})
    assert load_metric("bits_per_byte").rows(frame, Context(TASK)).to_list() == pytest.approx([1.0, 3.0])
    assert score("bits_per_byte", frame) == pytest.approx(2.5)


def test_stopped_is_the_share_that_ended_by_itself() -> None:
    """Three of four."""
    assert score("stopped", pl.DataFrame({"stopped": [True, True, False, True]})) == 0.75


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_no_predictions_have_no_score(name: str) -> None:
    """An empty cell raises instead of scoring NaN."""
    with pytest.raises(DataError, match="no predictions"):
        score(name, labelled(["yes"], [[-1.0, -2.0]]).head(0))


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_every_metric_says_what_it_is(name: str) -> None:
    """A member carries its file's name, some kinds of task, and rows or an aggregate."""
    metric = load_metric(name)
    assert metric.name == name
    assert metric.kinds
    assert metric.rows or metric.aggregate
