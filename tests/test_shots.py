"""Shots: no prompt shows the answer to its own question, and as many are shown as are said."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.core.errors import DataError, StudyError
from amuro.core.types import Example
from amuro.data import sources
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.run import requests
from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.store import Store
from amuro.tasks import load_task

TASK = load_task("world_inference")
ROWS = sources.examples(TASK, "train", "3", limit=40)
ENCODER = Encoder.of_bytes()


def recased(example: Example) -> Example:
    """The same question under another id, in other letters and spaces."""
    return replace(example, id="other", inputs={key: f"{text.upper()} " for key, text in example.inputs.items()})


@given(k=st.integers(1, 6), shot_seed=st.integers(0, 20), data_=st.data())
@settings(max_examples=25, deadline=None)
def test_no_row_is_shown_its_own_question(k: int, shot_seed: int, data_: st.DataObject) -> None:
    """Rows that stand in train, word for word or but for case and spaces, are shown k other rows, labels in turn."""
    asked = [recased(e) if data_.draw(st.booleans()) else e for e in data_.draw(st.permutations(ROWS))[:12]]
    shared = render.draw_shots(TASK, ROWS, k, shot_seed)
    own = render.own_shots(TASK, ROWS, shared, shot_seed, asked)
    for row, example in enumerate(asked):
        shown = own.get(row, shared)
        assert len(shown) == k
        assert render.question(example) not in map(render.question, shown)
        counts = [[shot.answer for shot in shown].count(label) for label in TASK.labels]
        assert max(counts) - min(counts) <= 1


def test_the_other_rows_keep_their_shots_and_what_they_share() -> None:
    """One row that stands among the shots changes neither the ids nor the shared beginning of any other."""
    test = sources.examples(TASK, "test", "3", limit=8)
    shared = render.draw_shots(TASK, ROWS, 3, 0)
    plain = requests.encode(TASK, "default", test, shared, ENCODER, 4096)
    asked = [*test, shared[1]]
    own = render.own_shots(TASK, ROWS, shared, 0, asked)
    mixed = requests.encode(TASK, "default", asked, shared, ENCODER, 4096, own)
    assert list(own) == [8]
    assert mixed.groups[0] == plain.groups[0]
    assert mixed.requests[:8] == plain.requests
    assert mixed.k_effective() == [3] * 9
    assert render.prompt(TASK, "default", shared[1]) not in mixed.texts["prefix"][8]


def test_a_dialogue_is_told_from_others_by_all_its_turns() -> None:
    """Two dialogues that end alike and began otherwise are two questions."""
    turn = ({"messages": "hello"}, "hi")
    one = Example("1", "1", {"messages": "and now?"}, "bye", earlier=(turn,))
    assert render.question(one) != render.question(replace(one, earlier=()))
    assert render.question(one) == render.question(replace(one, id="2", answer="so"))


def study(folder: Path, splits: dict[str, str], shots: int) -> studies.Study:
    rows = [{"id": f"r{i}", "text": f"text {i}", "label": "bad" if i % 2 else "good"} for i in range(20)]
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = {"source": f"file:{folder}", "fields": {"text": "Text"}, "answer": "label", "labels": ["good", "bad"],
            "splits": splits}  # fmt: skip
    evaluate: dict[str, Any] = {"models": ["base"], "sets": ["mine/test"], "shots": [shots]}
    series = {"t": {"kind": "toy", "steps": [1]}}
    return studies.parse(
        {"name": "s", "engine": "toy", "series": series, "tasks": {"mine": task}, "evaluate": [evaluate]}
    )


@pytest.mark.parametrize(("train", "test"), [("all", "all"), ("all[:15]", "all[5:]")])
def test_splits_that_overlap_show_no_answer(train: str, test: str, tmp_path: Path) -> None:
    """One file as the pool of shots and as the evaluated set: no kept prompt holds its own question twice."""
    store = Store(tmp_path / "store")
    outcome = run(planning.make(study(tmp_path, {"train": train, "test": test}, 4)), store, lambda event: None)
    assert outcome.failures == []
    for manifest in store.manifests("cells"):
        frame = store.frame(manifest, "predictions.parquet")
        assert frame is not None
        assert frame["k_effective"].to_list() == [4] * frame.height
    [kept] = (tmp_path / "store" / "prompts").glob("*/*/prompts.parquet")
    texts = pl.read_parquet(kept)
    assert texts.height == len(sources.rows(f"file:{tmp_path}", test))
    assert not [t for t in texts.iter_rows(named=True) if t["text"].split("\n")[0] + "\n" in t["prefix"]]


@pytest.mark.parametrize(("shots", "train"), [(4, "all[:3]"), (3, "all[:3]")])
def test_more_shots_than_rows_are_refused_before_anything_runs(shots: int, train: str, tmp_path: Path) -> None:
    """Four shots of three rows cannot be shown; nor can three to a row that is one of them."""
    splits = {"train": train, "test": "all" if shots == 3 else "all[3:]"}
    with pytest.raises(DataError, match=f"{shots} shots are wanted for mine, whose split train has"):
        run(planning.make(study(tmp_path, splits, shots)), Store(tmp_path / "store"), lambda event: None)
    assert not (tmp_path / "store" / "cells").exists() or not list((tmp_path / "store" / "cells").iterdir())


def test_only_the_paper_takes_shots_from_evaluated_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of one's own that says so is refused by that key, not by a wording that it never needed."""
    module = ModuleType("lab_task")
    module.TASK = replace(TASK, name="lab_task", shots_from="evaluation")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lab.task", module)
    monkeypatch.setitem(sys.modules, "lab", ModuleType("lab"))
    with pytest.raises(StudyError, match="says shots_from = 'evaluation'"):
        load_task("lab.task")
