"""What is told of shots and written texts is what was shown and written."""

from dataclasses import replace

import polars as pl
import pytest
from test_analyses import few_shot, one_task, run
from worlds import task

from amuro.results import shots_shown
from amuro.results.analyses.base import Evidence
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import Context, Metric


@pytest.mark.parametrize(
    ("asked", "mean", "said"),
    [(8, [1.93], "8-shot, 1.9 shown"), (8, [8.0], "8-shot"), (8, [None], "8-shot"), (0, [0.0], "0-shot"),
     (8, [7.97], "8-shot"), (8, [1.0, 8.0], "8-shot, 1.0 and 8.0 shown")],
)  # fmt: skip
def test_fewer_shots_than_asked_are_said(asked: int, mean: list[float | None], said: str) -> None:
    """Where prompts have room for fewer shots than were asked, the words say how many; else they are as before."""
    assert shots_shown.in_words("8-shot" if asked else "0-shot", asked, *mean) == said


def test_the_best_way_of_asking_says_what_it_showed() -> None:
    """A finding that names four shots, of which 1.9 were shown, says so."""
    best = few_shot(few_shot(one_task(), 300, "dev"), 300)
    few = pl.when(pl.col("shots") == 4).then(1.93).otherwise(0.0).alias("shots_shown")
    better = pl.when(pl.col("shots") == 4).then(1.0).otherwise(0.0).alias("value")
    told: Evidence = replace(best, items=best.items.with_columns(better), scores=best.scores.with_columns(few))
    sentences = " ".join(f.statement for f in run("learned_in_pretraining", told))
    assert "4-shot, 1.9 shown" in sentences, sentences


@pytest.mark.parametrize(("encoding", "same"), [("prompt_then_answer", 1.0), ("whole_text", 0.0)])
def test_a_metric_reads_what_was_written_as_the_gold_is(encoding: str, same: float) -> None:
    """The one space that parts prompt and answer is no part of an output; whole texts have none."""
    metric = Metric(
        "own.same", "", ("generation",), True, _same, binary=True, predicts=lambda frame, _: frame["output"]
    )
    about = replace(task("t", None, "rouge_l", "generation"), encoding=encoding)  # type: ignore[arg-type]
    frame = pl.DataFrame({"example_id": ["a", "b"], "output": [" on on", "  on"], "gold": ["on on", "on"]})
    assert metric.values(frame, Context(about)).to_list() == [same, 0.0]
    assert metric.predicted(frame, Context(about))[0] == ("on on" if same else " on on")
    for known in ("exact_match", "rouge_l"):
        assert load_metric(known).values(frame, Context(about)).to_list() == [1.0, 1.0]


def _same(frame: pl.DataFrame, context: Context) -> pl.Series:
    return (frame["output"] == frame["gold"]).cast(pl.Float64)
