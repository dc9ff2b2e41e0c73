"""The ceiling: right answers, cut as outputs are cut, get the best score, or a study says so before it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_own_metrics import table
from typer.testing import CliRunner

from amuro.cli.main import app
from amuro.core.errors import DataError
from amuro.core.types import Example
from amuro.prompts.tokenizer import Encoder
from amuro.results import analyze
from amuro.run.preflight.ceiling import ceiling
from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.audit_keys import BELOW
from amuro.study.store import Store
from amuro.tasks._custom import OwnTask

LINES = ["one\ntwo", "\nthree", "four"]


def of(answers: list[str], encoder: Encoder | None = None, **changes: Any) -> Any:
    own = {"source": "file:x", "fields": {"q": "Question"}, "answer": "a", **changes}
    examples = [Example(str(i), str(i), {"q": "?"}, answer) for i, answer in enumerate(answers)]
    return ceiling(OwnTask(**own).task("qa"), "default", examples, encoder)


def test_answers_of_any_script_reach_the_ceiling() -> None:
    """Under the usual metric, with and without a tokenizer, nothing is short."""
    answers = ["привет мир", "谢谢", "café à côté", "plain words"]
    assert of(answers).short == ()
    assert of(answers, Encoder.of_bytes()).short == ()


@pytest.mark.parametrize(
    ("answers", "changes", "short", "said", "cure"),
    [
        (LINES, {}, ["0", "1"], "cut at the stop string '\\n'", "say stop = [...] without"),
        (LINES, {"stop": []}, [], "", ""),
        (
            ["w " * 9 + "end", "one"],
            {"max_new_tokens": 8},
            ["0"],
            "cut after max_new_tokens = 8",
            "raise max_new_tokens",
        ),
        (["...", "one"], {}, ["0"], "rouge_l does not give it to the very words", "name another metric"),
        (["...", "one"], {"metric": "exact_match"}, [], "", ""),
        (["one", "two"], {"metric": "own_metrics.error"}, [], "", ""),
        (["one", "two"], {"metric": "log_likelihood"}, [], "", ""),
    ],
)
def test_what_keeps_a_right_answer_from_the_best_score_is_named(
    answers: list[str], changes: dict[str, Any], short: list[str], said: str, cure: str
) -> None:
    """Stop strings, the limit of new tokens and the metric itself: rows by id, the cause and the cure."""
    found = of(answers, Encoder.of_bytes(), **changes)
    assert [one.example_id for one in found.short] == short
    if short:
        assert said in str(found)
        assert cure in found.cure
        assert f"{len(short)} of {len(answers)} right answers" in str(found)


@given(st.lists(st.text(max_size=30).filter(str.strip), min_size=1, max_size=5), st.integers(1, 40))
@settings(max_examples=40)
def test_whatever_is_not_cut_is_not_short(answers: list[str], limit: int) -> None:
    """Under exact match an answer is short exactly where its one line or its bytes are more than may be said."""
    found = of(answers, Encoder.of_bytes(), metric="exact_match", max_new_tokens=limit)
    cut = [i for i, text in enumerate(answers) if "\n" in text.strip() or len(f" {text}".encode()) > limit]
    assert {int(one.example_id) for one in found.short} <= set(cut)


def study_of(folder: Path, answers: list[str], metric: str) -> dict[str, Any]:
    rows = [{"id": str(i), "prompt": f"question {i}", "completion": answers[i % len(answers)]} for i in range(60)]
    for split in ("train", "test"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return table(metric, folder, layout="prompt_completion", cluster="")


def test_a_set_that_nobody_can_answer_is_refused_before_it_runs(tmp_path: Path) -> None:
    """Answers of two lines are never matched word for word where the first line ends them: no cell is filled."""
    plan = planning.make(studies.parse(study_of(tmp_path, ["first\nsecond", "one\nother"], "exact_match")))
    with pytest.raises(DataError, match=r"mine/test: 60 of 60 right answers .* stop string '\\n'; 0 \(0.00\)"):
        run(plan, Store(tmp_path / "store"), lambda event: None)
    assert Store(tmp_path / "store").cells() == {}


def test_a_low_ceiling_is_told_in_the_report(tmp_path: Path) -> None:
    """Where some answers are cut, the set runs, and a flag of the report names cause and rows."""
    plan = planning.make(studies.parse(study_of(tmp_path, ["one\ntwo", "three"], "rouge_l")))
    store = Store(tmp_path / "store")
    assert run(plan, store, lambda event: None).failures == []
    (flag,) = [flag for flag in analyze.results(plan, store).flags if flag.name == BELOW]
    assert flag.where == "mine/test"
    assert "30 of 60 right answers do not get the best score of rouge_l themselves" in flag.detail


@pytest.mark.parametrize(
    ("metric", "code", "said"), [("exact_match", 3, "refused mine/test"), ("rouge_l", 0, f"mine/test: {BELOW}")]
)
def test_the_audit_of_tasks_asks_the_ceiling(metric: str, code: int, said: str, tmp_path: Path) -> None:
    """`amuro audit tasks` refuses a set that nobody can answer, and notes one that nobody can answer in full."""
    made = study_of(tmp_path, ["a\nb", "c\nd"], metric)
    (tmp_path / "study.toml").write_text(_toml(made["tasks"]["mine"]), encoding="utf-8")
    told = CliRunner().invoke(app, ["audit", "tasks", str(tmp_path / "study.toml")])
    assert (told.exit_code, said in re.sub(r"\s+", " ", told.output)) == (code, True), told.output


def _toml(own: dict[str, Any]) -> str:
    """The parts of a study that an audit of its tasks reads."""
    return f"""name = "own"
engine = "toy"
[series.t]
kind = "toy"
steps = [1]
[tasks.mine]
source = {json.dumps(own["source"])}
layout = "prompt_completion"
metric = "{own["metric"]}"
splits = {{ train = "train", test = "test" }}
[[evaluate]]
models = ["base"]
sets = ["mine/test"]
"""
