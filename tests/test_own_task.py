"""Data of one's own, stated in a study: each layout becomes the examples that it says, and bad rows stop by name."""

import json
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pytest

from amuro.core.errors import AmuroError, StudyError
from amuro.core.types import Recipe
from amuro.data import sources
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.run import training_sets
from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.status import states
from amuro.study.store import Store

ROWS = [
    {"id": str(i), "text": f"text number {i} ", "label": i % 2, "author": f"a{i // 2}", "word": ("fine", "bad")[i % 2]}
    for i in range(130)
]
HATE = {
    "source": "",
    "fields": {"text": "Text"},
    "answer": "label",
    "answers": {"0": "fine", "1": "bad"},
    "cluster": "author",
    "answer_prefix": "Label:",
    "splits": {"train": "train", "test": "test"},
}


def study(tasks: dict[str, Any], name: str) -> studies.Study:
    return studies.parse(
        {
            "name": "own",
            "engine": "toy",
            "series": {"t": {"kind": "toy", "steps": [1, 10]}},
            "tasks": tasks,
            "tune": [{"name": "t", "tasks": [name], "rows": 20, "learning_rate": 1e-3, "in_domain": [f"{name}/test"]}],
            "evaluate": [{"models": ["base", "tuned"], "sets": [f"{name}/test"], "limit": 20}],
        }
    )


def write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    """The same rows as train and test of one kind of file."""
    folder.mkdir()
    for split in ("train", "test"):
        if kind == "jsonl":
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif kind == "csv":
            pl.DataFrame(rows).write_csv(folder / f"{split}.csv")
        elif kind == "parquet":
            pl.DataFrame(rows).write_parquet(folder / f"{split}.parquet")
        else:
            datasets.Dataset.from_list(rows).save_to_disk(str(folder / split))
    return folder


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "saved"])
def test_a_map_of_columns_reads_every_kind_of_file(kind: str, tmp_path: Path) -> None:
    """The same rows give the same examples from JSONL, CSV, Parquet and a saved data set."""
    folder = write(tmp_path / kind, kind, ROWS)
    task = study({"hate": {**HATE, "source": f"file:{folder}"}}, "hate").task("hate")
    found = sources.examples(task, "test")
    assert [(e.inputs["text"], e.answer, e.cluster) for e in found[:2]] == [
        ("text number 0 ", "fine", "a0"), ("text number 1 ", "bad", "a0"),
    ]  # fmt: skip
    assert render.prompt(task, "default", found[0]) == "Text: text number 0 \nLabel:"
    assert (task.kind, task.labels, task.chance) == ("classification", ("fine", "bad"), 0.5)


def test_a_study_of_own_data_runs_from_plan_to_cells(tmp_path: Path) -> None:
    """A task stated in the study is planned, tuned on, asked and kept like a shipped one, in worker payloads too."""
    folder = write(tmp_path / "rows", "jsonl", ROWS)
    plan = planning.make(study({"hate": {**HATE, "source": f"file:{folder}"}}, "hate"))
    store = Store(tmp_path / "store")
    outcome = run(plan, store, lambda event: None)
    assert outcome.failures == []
    assert all(state.done for state in states(plan, store))


def test_prompt_and_completion_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair is asked word for word in every format, one of somebody else's included, and learned with the space that
    parts prompt and answer.
    """
    pairs = [{"prompt": f"Say {i}.\nNow:", "completion": f" {i}!"} for i in range(4)]
    folder = write(tmp_path / "pairs", "jsonl", pairs)
    table = {"source": f"file:{folder}", "layout": "prompt_completion", "splits": {"train": "train", "test": "test"}}
    task = study({"pairs": table}, "pairs").task("pairs")
    [first, *_] = sources.examples(task, "train")
    (tmp_path / "their_lab").mkdir()
    (tmp_path / "their_lab" / "loud.py").write_text(
        "from amuro.core.types import Format\nFORMAT = Format('loud', 'in capitals', lambda task, example: 'LOUD!')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = ("default", "instruct", "input_output", "their_lab.loud")
    assert {render.prompt(task, name, first) for name in names} == {"Say 0.\nNow:"}
    assert first.answer == "0!"


MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello {you}"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "And now?"},
    {"role": "assistant", "content": "Bye"},
]


@pytest.mark.parametrize(
    "row", [{"messages": MESSAGES}, {"prompt": MESSAGES[:-1], "completion": MESSAGES[-1:]}], ids=["messages", "pairs"]
)
def test_each_reply_of_a_dialogue_is_learned(row: dict[str, Any], tmp_path: Path) -> None:
    """Both of TRL's chat layouts give one sequence in which every reply, with end-of-text, is an answer."""
    other = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
    folder = write(tmp_path / "chat", "jsonl", [row, other])
    table = {"source": f"file:{folder}", "layout": "messages", "splits": {"train": "train", "test": "test"}}
    task, encoder = study({"chat": table}, "chat").task("chat"), Encoder.of_bytes()
    found = sources.examples(task, "train")
    [dialogue, single] = training_sets.training_sequences(
        [(task, found)], Recipe("r", (("chat", 1.0),), 2, 1, (1.0,)), encoder
    )
    told = [encoder.decode(part).removesuffix("<eos>") for part in dialogue]
    assert told == ["<|system|>\nBe brief.\n<|user|>\nHello {you}\n<|assistant|>", " Hi",
                    "\n<|user|>\nAnd now?\n<|assistant|>", " Bye"]  # fmt: skip
    assert [part[-1] == encoder.eos for part in dialogue] == [False, True, False, True]
    assert len(single) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fields": {}}, "names no fields"),
        ({"answer": "nothing"}, "no field 'nothing'"),
        ({"answers": {"0": "fine", "2": "bad"}}, "label is '1'"),
        ({"fields": {"txt": "Text"}}, "no field 'txt'"),
    ],
)
def test_a_table_that_does_not_fit_its_rows_is_taught(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A wrong column, an answer outside the map and a table without fields stop with the place."""
    folder = write(tmp_path / "rows", "jsonl", ROWS)
    with pytest.raises(AmuroError, match=message):
        sources.examples(study({"hate": {**HATE, "source": f"file:{folder}", **change}}, "hate").task("hate"), "test")


def test_a_misspelt_key_of_an_own_task_is_taught() -> None:
    """The nearest key of the table stands in the message."""
    with pytest.raises(StudyError, match="layout"):
        study({"hate": {**HATE, "source": "file:x", "lay_out": "fields"}}, "hate")


def test_data_of_ones_own_have_no_paper_protocol() -> None:
    """The paper's way to ask would take its shots from the evaluated rows: it is refused for a task it never had."""
    table = {"hate": {**HATE, "source": "file:x"}}
    with pytest.raises(StudyError, match="not in the paper"):
        studies.parse({**study(table, "hate").model_dump(), "protocol": "paper"})
