"""Options with contexts of their own: each is asked behind its own, and judged beside the others of its row."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from amuro.core.errors import DataError
from amuro.core.types import Example, Task
from amuro.data import sources
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.results import analyze
from amuro.run import option_contexts
from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.store import Store
from amuro.tasks._custom import OwnTask
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import Context

ENCODER = Encoder.of_bytes()
SENTENCES = [
    ("The lamp would not fit in the box because the _ was too large.", "lamp", "box", "1"),
    ("The lamp would not fit in the box because the _ was too small for such a thing.", "lamp", "box", "2"),
    ("Mira thanked Oda since _ had helped all day.", "Mira", "Oda", "2"),
    ("Mira paid Oda since _ owed her.", "Mira", "Oda", "1"),
]
ROWS = [dict(zip(("sentence", "option1", "option2", "answer"), row, strict=True)) for row in SENTENCES]
CLOZE: dict[str, Any] = {
    "cloze": "sentence", "options": ["option1", "option2"], "answer": "answer", "answer_by": "number",
    "splits": {"train": "train", "test": "test"},
}  # fmt: skip


def examples(folder: Path, rows: list[dict[str, Any]], **table: Any) -> tuple[Task, list[Example]]:
    for split in ("train", "test"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = OwnTask(source=f"file:{folder}", **{**CLOZE, **table}).task("mine")
    return task, sources.examples(task, "test")


def test_a_cloze_text_is_a_context_for_each_option(tmp_path: Path) -> None:
    """What stands up to the blank, with the option in it, is read; what follows is scored, as lm_eval does it."""
    task, found = examples(tmp_path, ROWS)
    assert [context["option context"] for context in found[2].contexts] == [
        "Mira thanked Oda since Mira", "Mira thanked Oda since Oda",
    ]  # fmt: skip
    assert (found[2].options, found[2].gold) == (("had helped all day.",) * 2, 1)
    assert render.prompt(task, "default", found[2]) == "Mira thanked Oda since Oda"


def test_contexts_may_stand_in_columns_of_their_own(tmp_path: Path) -> None:
    """Columns or a list of contexts, behind ordinary fields; the right one is what a shot and training read."""
    rows = [{"q": f"why {i}?", "heads": ["so", "thus"], "ends": ["a", "b"], "answer": i % 2} for i in range(4)]
    table = {"cloze": "", "fields": {"q": "Q"}, "contexts": "heads", "options": "ends", "answer_by": "index"}
    task, found = examples(tmp_path, rows, **table)
    assert render.prompt(task, "default", found[1]) == "Q: why 1?\nthus"
    assert [dict(c) for c in found[1].contexts] == [
        {"q": "why 1?", "option context": "so"}, {"q": "why 1?", "option context": "thus"},
    ]  # fmt: skip


@pytest.mark.parametrize("tight", [False, True])
def test_each_option_is_encoded_behind_its_own_context(tight: bool, tmp_path: Path) -> None:
    """The ids that are read for option j are those of shots and context j as one text; all options of a row are shown
    the same number of shots, also where the context is short.
    """
    task, found = examples(tmp_path, ROWS)
    shots = found[2:4]
    pairs = [f"{text} {reply}" for text, reply in render.shots_text(task, "default", shots)]
    shorter = f"{''.join(pairs)}{task.separator}{found[0].contexts[1]['option context']} {found[0].options[1]}"
    room = len(ENCODER.prompts([shorter])[0]) if tight else 4096  # two shots fit before the box, not before the lamp
    made = option_contexts.encode(task, "default", found[:2], shots, ENCODER, room, {})
    [cell] = [c for c in planning.make(study(tmp_path)).cells if c.shots == 0][:1]
    read: dict[int, list[tuple[int, ...]]] = {}
    for request_batch, rows in made.batches(cell):
        for row, request in zip(rows, request_batch.requests, strict=True):
            read.setdefault(row, []).append((*request_batch.prefix, *request.context, *request.options[0]))
    for row, example in enumerate(found[:2]):
        head = "".join(f"{pair}" for pair in pairs[: made.k_effective()[row]])
        head += task.separator if head else ""
        wholes = [
            f"{head}{context['option context']} {option}"
            for context, option in zip(example.contexts, example.options, strict=True)
        ]
        assert read[row] == ENCODER.prompts(wholes)
    assert made.k_effective() == ([1, 1] if tight else [2, 2])
    assert [request.gold for request in made.requests] == [0, 1]


def study(folder: Path) -> studies.Study:
    evaluate = {"models": ["base", "tuned"], "sets": ["mine/test"], "shots": [0, 2]}
    tune = {"name": "t", "tasks": ["mine"], "rows": 4, "learning_rate": 1e-3, "in_domain": ["mine/test"]}
    series = {"t": {"kind": "toy", "steps": [10_000]}}
    return studies.parse({"name": "s", "engine": "toy", "series": series, "evaluate": [evaluate], "tune": [tune],
                          "tasks": {"mine": {"source": f"file:{folder}", **CLOZE}}})  # fmt: skip


def test_a_study_keeps_one_score_an_option(tmp_path: Path) -> None:
    """From plan to store: each row has the scores of its options in their order, and the place of the right one, by
    which it is judged: the words of its options are the same.
    """
    examples(tmp_path, ROWS)
    store = Store(tmp_path / "store")
    plan = planning.make(study(tmp_path))
    outcome = run(plan, store, lambda event: None)
    assert outcome.failures == []
    frames = [pl.read_parquet(path) for path in (tmp_path / "store" / "cells").glob("*/*/predictions.parquet")]
    assert len(frames) == 4
    for frame in frames:
        assert frame["log_probabilities"].list.len().to_list() == [2] * 4
        assert frame["gold_index"].to_list() == [0, 1, 1, 0]
        accuracy = load_metric("accuracy").rows(frame, Context(plan.tasks["mine"]))
        likelier = [int(a < b) for a, b in frame["log_probabilities"]]
        assert accuracy.to_list() == [float(x == y) for x, y in zip(likelier, [0, 1, 1, 0], strict=True)]
    assert any(any(a != b for a, b in frame["log_probabilities"]) for frame in frames)
    asked = analyze.results(plan, store).evidence.scores.filter(pl.col("metric") == "accuracy")
    assert set(asked["chance"]) == {0.5}


@pytest.mark.parametrize(
    ("change", "table", "message"),
    [
        ({"sentence": "no blank"}, {}, "needs one _ with words behind it"),
        ({"sentence": "two _ and _ here"}, {}, "needs one _ with words behind it"),
        ({"sentence": None}, {}, "column sentence is null"),
        ({"heads": ["so"]}, {"cloze": "", "contexts": "heads"}, "1 contexts stand beside 2 options"),
        ({}, {"contexts": "heads"}, "has contexts and cloze"),
        ({}, {"options": ""}, "has contexts and no options"),
    ],
)
def test_what_makes_no_contexts_is_refused(
    change: dict[str, Any], table: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """A text without a blank, too few contexts, keys that exclude each other: each in one sentence."""
    with pytest.raises(DataError, match=message):
        examples(tmp_path, [{**row, **change} for row in ROWS], **table)
