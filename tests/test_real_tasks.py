"""The real tasks on invented rows always, and on the real rows and the real tokenizer where `make real` put them."""

import os
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from real_rows import ROWS

from amuro import catalog, data, prompts
from amuro.errors import DataError
from amuro.tokens import Encoder
from amuro.types import Example

CACHE = Path(os.environ.get("AMURO_REAL", "~/.cache/amuro-real")).expanduser()
FOLDERS = {
    "socialiqa_question": "socialiqa",
    "sciq_question": "sciq",
    "boolq": "boolq",
    "arc_easy": "arc_easy",
    "openbookqa": "openbookqa",
}
real = pytest.mark.skipif(not (CACHE / "MANIFEST.json").is_file(), reason=f"no real material in {CACHE}: make real")

EXPECTED = {
    "socialiqa_question": ("helpful", "How would you describe Mirel?"),
    "sciq_question": ("glass", "Which part of a lantern keeps the wind away from the flame?"),
    "boolq": ("is a tarn a kind of lake?", "yes"),
    "arc_easy": ("Which tool is used to measure the length of a room?", "a tape"),
    "openbookqa": ("A puddle gets smaller on a hot day because its water", "evaporates"),
}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_becomes_its_example(name: str) -> None:
    """The right answer is found by the data set's own way of naming it, and white space is single."""
    example = catalog.task(name).example(ROWS[name])
    last_field = example.inputs[catalog.task(name).fields[-1][0]]
    assert (last_field, example.answer) == EXPECTED[name]
    assert all(text == " ".join(text.split()) for text in (*example.inputs.values(), *example.options))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("socialiqa_question", {"label": ""}, "label ''"),
        ("socialiqa_question", {"label": "-1"}, "label '-1'"),
        ("boolq", {"answer": -1}, "answer -1"),
        ("boolq", {"answer": None}, "answer None"),
    ],
)
def test_a_hidden_label_is_refused(name: str, change: dict[str, object], message: str) -> None:
    """Test splits of the hub without labels never become a wrong answer."""
    with pytest.raises(DataError, match=message):
        catalog.task(name).example({**ROWS[name], **change})


@pytest.mark.parametrize("name", ["arc_easy", "openbookqa"])
def test_an_answer_key_that_names_no_option_is_refused(name: str) -> None:
    """An empty answer key stops with the row."""
    with pytest.raises(ValueError, match="not in list"):
        catalog.task(name).example({**ROWS[name], "answerKey": ""})


def test_socialiqa_shows_the_right_answer_alone() -> None:
    """No wrong answer reaches a prompt: the question must be the right answer's."""
    task = catalog.task("socialiqa_question")
    for format_name in ("default", "instruct", "input_output"):
        prompt = prompts.prompt(task, format_name, task.example(ROWS["socialiqa_question"]))
        assert "helpful" in prompt
        assert "annoyed" not in prompt


@pytest.mark.parametrize("name", sorted(ROWS))
def test_dev_and_train_are_parts_without_a_common_row(name: str) -> None:
    """Parts of one split of the source that serve as train, dev or test do not overlap."""
    parts = [split.rstrip("]").partition("[") for split in catalog.task(name).splits.values()]
    for source_split in {part[0] for part in parts}:
        cuts = [cut.partition(":") for split, _, cut in parts if split == source_split]
        bounds = sorted((int(start or 0), int(stop or 1e9)) for start, _, stop in cuts)
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(bounds))


def real_examples(name: str, split: str) -> list[Example]:
    task = catalog.task(name)
    return data.examples(replace(task, source=f"file:{CACHE}/rows/{FOLDERS[name]}"), split)


SIZES = {"socialiqa_question": 1954, "sciq_question": 700, "boolq": 3270, "arc_easy": 570, "openbookqa": 500}


@real
@pytest.mark.parametrize("name", sorted(SIZES))
def test_real_rows_all_become_examples(name: str) -> None:
    """Every row of every real test split fits its task, with enough clusters for a claim."""
    found = real_examples(name, "test")
    assert len(found) == SIZES[name]
    assert len({example.cluster for example in found}) >= 50


@real
def test_real_class_shares_are_the_known_ones() -> None:
    """BoolQ's validation split has 2,033 yes of 3,270 (the .622 that a constant answer scores)."""
    assert Counter(example.answer for example in real_examples("boolq", "test")) == {"yes": 2033, "no": 1237}


@real
def test_rebuilt_training_rows_have_the_form_of_the_validation_rows() -> None:
    """Training rows are rebuilt from requests: no prompt words, titles or double marks may stick to them."""
    boolq = real_examples("boolq", "train")
    assert not any("Question:" in e.inputs["passage"] or e.inputs["question"].endswith("??") for e in boolq)
    assert sum(" -- " in e.inputs["passage"][:60] for e in boolq) < len(boolq) / 100
    for name in ("arc_easy", "openbookqa"):
        assert not any("Question:" in e.inputs["question"] for e in real_examples(name, "train"))


@real
@pytest.mark.parametrize("name", sorted(SIZES))
@pytest.mark.parametrize("format_name", ["default", "instruct", "input_output"])
def test_prompt_and_answer_in_pieces_are_the_tokens_of_the_whole(name: str, format_name: str) -> None:
    """Under the real tokenizer no prompt ends inside a token: what is learned jointly is what is scored in pieces."""
    task = catalog.task(name)
    encoder = Encoder.from_folder(CACHE / "SmolLM2-135M-Instruct")
    found = real_examples(name, "test")[:300]
    asked = [prompts.prompt(task, format_name, example) for example in found]
    assert encoder.disagreements(asked, [prompts.answer(task, example.answer) for example in found]) == 0
