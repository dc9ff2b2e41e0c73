"""The real tasks on invented rows always, and on the real rows and the real tokenizer where `make real` put them."""

import json
import os
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from real_rows import PAPER_ROWS, ROWS, Rows

from amuro.core import registry
from amuro.core.errors import DataError
from amuro.core.types import Example, Task
from amuro.data import sources
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.run import requests, requests_paper
from amuro.tasks import load_task

CACHE = Path(os.environ.get("AMURO_REAL", "~/.cache/amuro-real")).expanduser()
FOLDERS = {
    "socialiqa_question": "socialiqa",
    "sciq_question": "sciq",
    "sciq_choice": "sciq",
    "boolq": "boolq",
    "arc_easy": "arc_easy",
    "arc_challenge": "arc_challenge",
    "openbookqa": "openbookqa",
    "hellaswag": "hellaswag",
    "rte": "rte",
}
SIZES = {
    "socialiqa_question": 1954,
    "sciq_question": 700,
    "sciq_choice": 1000,
    "boolq": 3270,
    "arc_easy": 570,
    "arc_challenge": 299,
    "openbookqa": 500,
    "hellaswag": 10042,
    "rte": 277,
}
real = pytest.mark.skipif(
    not all(
        (CACHE / folder).is_dir() for folder in ("SmolLM2-135M-Instruct", *(f"rows/{f}" for f in FOLDERS.values()))
    ),
    reason=f"no real material in {CACHE}: make real",
)
BOTH = [("corrected", name) for name in sorted(ROWS)] + [("paper", name) for name in sorted(PAPER_ROWS)]
IN_BYTES = Encoder.of_bytes()

EXPECTED = {
    "socialiqa_question": ("helpful", "How would you describe Mirel?"),
    "sciq_question": ("glass", "Which part of a lantern keeps the wind away from the flame?"),
    "sciq_choice": ("Which part of a lantern keeps the wind away from the flame?", "glass"),
    "tweetqa_question": ("a ferry", "what is aground?"),
    "xsum": ("A ferry ran aground near Vell on Monday. Nobody was hurt.", "A ferry has run aground near Vell."),
    "xlsum": ("A ferry ran aground near Vell on Monday. Nobody was hurt.", "A ferry has run aground near Vell."),
    "cnn": (
        "A ferry ran aground near Vell on Monday. Nobody was hurt.",
        "A ferry has run aground near Vell. More to follow .",
    ),
    "mnli": ("The mill has no roof.", "contradiction"),
    "rte": ("The mill has no roof.", "neutral"),
    "gpt3nli": ("The mill has no roof.", "contradiction"),
    "paws": ("Tavi gave Oda a plum.", "no"),
    "qqp": ("Tavi gave Oda a plum.", "no"),
    "stsb": ("Tavi gave Oda a plum.", "no"),
    "tulu": ("<|user|>\nAnd a tool?", "A tape:\n1 metre long."),
    "boolq": ("is a tarn a kind of lake?", "yes"),
    "arc_easy": ("Which tool is used to measure the length of a room?", "a tape"),
    "arc_challenge": ("Which tool is used to measure the length of a room?", "a tape"),
    "openbookqa": ("A puddle gets smaller on a hot day because its water", "evaporates"),
    "hellaswag": ("Sailing: A man unties a boat. He", "pushes off from the pier."),
}


def rows_of(protocol: str, name: str) -> Rows:
    return (ROWS if protocol == "corrected" else PAPER_ROWS)[name]


def examples_of(protocol: str, name: str) -> tuple[Task, list[Example]]:
    task = load_task(name, protocol)
    return task, [task.example(row) for row in rows_of(protocol, name)]


def loaded(folder: Path, task: Task, rows: Rows) -> list[Example]:
    """The rows by the door that real rows come in at."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return sources.examples(replace(task, source=f"file:{path}", splits={"all": "all"}), "all")


def test_every_real_task_has_rows_and_a_side_of_the_paper() -> None:
    """All 18 data sets are there, SciQ as two tasks, each in both protocols."""
    own = {name for name in registry.names("tasks") if load_task(name).source.startswith("hub:")}
    assert own == set(ROWS) == set(PAPER_ROWS) == set(EXPECTED)
    assert len(own) == 19
    assert all(load_task(name).paper for name in own)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_becomes_its_example(name: str) -> None:
    """The right answer is found by the data set's own way of naming it, and white space is single where a task says so,
    else as the row has it.
    """
    task = load_task(name)
    example = task.example(ROWS[name][0])
    last_field = example.inputs[task.fields[-1][0]]
    assert (last_field, example.answer) == EXPECTED[name]
    texts = (*example.inputs.values(), *example.options)
    if task.normalize == "spaces":
        assert all(text == " ".join(text.split()) for text in (*texts, example.answer))
    elif task.normalize == "none" and task.kind == "classification":
        assert {*texts} <= {*ROWS[name][0].values(), f"{ROWS[name][0].get('question')}?"}


@pytest.mark.parametrize(("protocol", "name"), BOTH)
def test_rows_of_the_schema_load_in_both_protocols(protocol: str, name: str, tmp_path: Path) -> None:
    """Rows of exactly the hub's schema become examples with unique ids, in order."""
    task = load_task(name, protocol)
    assert len({example.id for example in loaded(tmp_path, task, rows_of(protocol, name))}) == 3


@pytest.mark.parametrize(("protocol", "name"), BOTH)
def test_a_renamed_field_is_refused_by_its_name(protocol: str, name: str, tmp_path: Path) -> None:
    """Every field that a task reads is missed when the hub renames it: never an empty text, never a default."""
    task, rows = load_task(name, protocol), rows_of(protocol, name)
    missed = set()
    for field in rows[0]:
        renamed = [{(key + "_" if key == field else key): value for key, value in row.items()} for row in rows]
        try:
            loaded(tmp_path, task, renamed)
        except DataError as error:
            missed.add((field, f"has no field '{field}'" in str(error) and task.page in str(error)))
    assert len(missed) >= len(task.fields)
    assert all(said for _, said in missed)


HIDDEN = [
    ("corrected", "socialiqa_question", {"label": ""}, "label ''"),
    ("corrected", "socialiqa_question", {"label": "-1"}, "label '-1'"),
    ("corrected", "boolq", {"answer": -1}, "answer -1"),
    ("corrected", "boolq", {"answer": None}, "answer None"),
    ("paper", "boolq", {"label": -1}, "label -1"),
    ("corrected", "mnli", {"label": -1}, "label -1"),
    ("corrected", "mnli", {"label": 3}, "label 3"),
    ("corrected", "rte", {"label": -1}, "label -1"),
    ("corrected", "rte", {"label": 2}, "label 2"),
    ("corrected", "gpt3nli", {"label": -1}, "label -1"),
    ("corrected", "paws", {"label": 2}, "label 2"),
    ("corrected", "qqp", {"label": -1}, "label -1"),
    ("corrected", "stsb", {"label": -1.0}, r"score -1\.0"),
    ("corrected", "stsb", {"label": float("nan")}, "score nan"),
    ("corrected", "hellaswag", {"label": ""}, "label ''"),
    ("paper", "hellaswag", {"label": "4"}, "label '4'"),
    ("corrected", "tweetqa_question", {"Answer": []}, "no answer"),
    ("paper", "tweetqa_question", {"Answer": []}, "no answer"),
    ("corrected", "tulu", {"messages": [{"role": "user", "content": "Hm?"}]}, "no message is a reply"),
    ("corrected", "tulu", {"messages": [{"role": "human", "content": "Hm?"}]}, "role 'human'"),
    ("corrected", "arc_easy", {"answerKey": ""}, "answer key '' names no option"),
    ("paper", "arc_challenge", {"answerKey": "E"}, "answer key 'E' names no option"),
    ("corrected", "openbookqa", {"answerKey": "5"}, "answer key '5' names no option"),
]


@pytest.mark.parametrize(("protocol", "name", "change", "message"), HIDDEN)
def test_a_hidden_label_is_refused(protocol: str, name: str, change: dict[str, Any], message: str) -> None:
    """Test splits of the hub without labels never become a wrong answer."""
    with pytest.raises(DataError, match=message):
        load_task(name, protocol).example({**rows_of(protocol, name)[0], **change})


def test_a_dialogue_is_learned_turn_by_turn() -> None:
    """Each reply is an answer after all that was said before it; what follows the last reply is left out."""
    task, (long, _, cut) = examples_of("corrected", "tulu")
    assert render.turns(task, "default", long) == [
        ("<|system|>\nBe brief.\n<|user|>\nName a fruit.\n<|assistant|>", "A plum."),
        ("\n<|user|>\nAnd a tool?\n<|assistant|>", "A tape:\n1 metre long."),
    ]
    assert (cut.answer, cut.earlier) == ("Jorun.", ())


@pytest.mark.parametrize("name", sorted(ROWS))
def test_dev_and_train_are_parts_without_a_common_row(name: str) -> None:
    """Parts of one split of the source that serve as train, dev or test do not overlap."""
    parts = [split.rstrip("]").partition("[") for split in load_task(name).splits.values()]
    for source_split in {part[0] for part in parts}:
        cuts = [cut.partition(":") for split, _, cut in parts if split == source_split]
        bounds = sorted((int(start or 0), int(stop or 1e9)) for start, _, stop in cuts)
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(bounds))


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_sound_sheet_reads_the_prompt_and_scores_the_answers(name: str) -> None:
    """Shots, prompt and options arrive as ids of exactly the words, and the gold option is the right answer."""
    task, (*shots, asked) = examples_of("corrected", name)
    encoded = requests.encode(task, "default", [asked], shots, IN_BYTES, 4096)
    ((_, prefix, _),), (request,) = encoded.groups, encoded.requests
    learned = "".join(f"{text} {answer}" for text, answer in render.shots_text(task, "default", shots))
    expected = learned + task.separator + render.prompt(task, "default", asked)
    assert IN_BYTES.decode((*prefix, *request.context)) == expected
    assert IN_BYTES.decode(request.options[request.gold]) == " " + asked.answer
    assert [request.options for request in encoded.unconditional] == ([request.options] if task.unconditional else [])


@pytest.mark.parametrize("name", sorted(set(PAPER_ROWS) - {"tulu"}))
def test_a_paper_sheet_reads_the_prompt_to_the_character(name: str) -> None:
    """The first rows as shots (multiple choice: rows of train drawn by the row's number), then the whole prompt."""
    task, examples = examples_of("paper", name)
    encoded = requests_paper.encode(task, "default", examples, examples, 2, IN_BYTES, 4096)
    ((_, prefix, _),) = encoded.groups
    for row, (example, request) in enumerate(zip(examples, encoded.requests, strict=True)):
        by_row = task.shots_from == "train_by_row"
        shots = requests_paper.row_shots(examples, 2, row) if by_row else examples[:2]
        expected = requests_paper.shots_text(task, "default", shots) + render.prompt(task, "default", example)
        assert IN_BYTES.decode((*prefix, *request.context)) == expected
        assert render.options(task, example)[request.gold] == example.answer


# -- on the real rows


def real_examples(name: str, split: str, protocol: str = "corrected") -> list[Example]:
    task = load_task(name, protocol)
    return sources.examples(replace(task, source=f"file:{CACHE}/rows/{FOLDERS[name]}"), split)


@real
@pytest.mark.parametrize("name", sorted(SIZES))
def test_real_rows_all_become_examples(name: str) -> None:
    """Every row of every real test split fits its task, with enough clusters for a claim."""
    found = real_examples(name, "test")
    assert len(found) == SIZES[name]
    assert len({example.cluster for example in found}) >= 50


@real
def test_real_class_shares_are_the_known_ones() -> None:
    """BoolQ's validation split has 2,033 yes of 3,270 (the .622 that a constant answer scores), RTE's 146 of 277."""
    assert Counter(example.answer for example in real_examples("boolq", "test")) == {"yes": 2033, "no": 1237}
    assert Counter(example.answer for example in real_examples("rte", "test")) == {"entailment": 146, "neutral": 131}


@real
def test_rebuilt_training_rows_have_the_form_of_the_validation_rows() -> None:
    """Training rows are rebuilt from requests: no prompt words, titles or double marks may stick to them."""
    boolq = real_examples("boolq", "train")
    assert not any("Question:" in e.inputs["passage"] or e.inputs["question"].endswith("??") for e in boolq)
    assert sum(" -- " in e.inputs["passage"][:60] for e in boolq) < len(boolq) / 100
    for name in ("arc_easy", "arc_challenge", "openbookqa"):
        assert not any("Question:" in e.inputs["question"] for e in real_examples(name, "train"))


@real
@pytest.mark.parametrize("name", sorted(SIZES))
@pytest.mark.parametrize("format_name", ["default", "instruct", "input_output"])
def test_prompt_and_answer_in_pieces_are_the_tokens_of_the_whole(name: str, format_name: str) -> None:
    """Under the real tokenizer no prompt ends inside a token: what is learned jointly is what is scored in pieces."""
    task = load_task(name)
    encoder = Encoder.from_folder(CACHE / "SmolLM2-135M-Instruct")
    found = real_examples(name, "test")[:300]
    asked = [render.prompt(task, format_name, example) for example in found]
    assert encoder.disagreements(asked, [render.answer(task, example.answer) for example in found]) == 0


def gaps(value: Any) -> list[Any]:
    """The value with nothing in its place, and, where it is nested, in each of its parts."""
    found: list[Any] = [None, float("nan")]
    if isinstance(value, dict):
        found += [{**value, key: gap} for key, part in value.items() for gap in gaps(part)]
    if isinstance(value, list):
        found += [[*value[:i], gap, *value[i + 1 :]] for i, part in enumerate(value) for gap in gaps(part)]
    return found


@pytest.mark.parametrize(("protocol", "name"), BOTH)
def test_what_is_missing_never_becomes_words(protocol: str, name: str) -> None:
    """Null or NaN in any column of any data set, however deep, is refused with its row, or is not read at all."""
    task, row = load_task(name, protocol), {**rows_of(protocol, name)[0]}
    whole = sources._example(task, row, "here")
    for column, gap in ((column, gap) for column, value in row.items() for gap in gaps(value)):
        try:
            found = sources._example(task, {**row, column: gap}, "here")
        except DataError as refused:
            assert re.match(r"here, (row|example) ", str(refused))  # noqa: PT017 (either way out is right)
            continue
        assert found is not None
        said = [*found.inputs.values(), found.answer, *found.options, found.cluster]
        assert found == whole or not [text for text in said if "None" in text or "nan" in text]
