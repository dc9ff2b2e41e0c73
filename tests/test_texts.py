"""What a column holds is what is asked and learned, unless its task states otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import toy_table
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from amuro.core.errors import DataError
from amuro.core.types import Example, Recipe, Task
from amuro.data import sources
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.run import requests, training_sets
from amuro.study import config as studies
from amuro.tasks._custom import OwnTask

BLANKS = st.text(" \n\t\u2003", max_size=3)
WORDS = st.text("ab.é", min_size=1, max_size=6)
TEXT = st.tuples(BLANKS, WORDS, BLANKS, WORDS, BLANKS).map("".join)
SPLITS = {"train": "train", "test": "test"}
FORMATS = ("default", "instruct", "input_output")


def examples(folder: Path, rows: list[dict[str, Any]], **table: Any) -> tuple[Task, list[Example]]:
    """A task of one's own and what it makes of rows, read from a file."""
    for split in ("train", "test"):
        text = "".join(json.dumps({"id": str(i), **row}) + "\n" for i, row in enumerate(rows))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    task = OwnTask(source=f"file:{folder}", splits=SPLITS, **table).task("own")
    return task, sources.examples(task, "test")


def by_lm_eval(encoder: Encoder, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """`TemplateLM._encode_pair` of lm_eval 0.4.13 for a context that ends with no blank."""
    whole = encoder.tokenizer.encode(context + continuation, add_special_tokens=False).ids
    alone = encoder.tokenizer.encode(context, add_special_tokens=False).ids
    return alone, whole[len(alone) :]


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=2, max_size=3, unique_by=lambda row: row[1].strip()))
def test_blanks_of_a_row_are_asked_and_learned(
    texts: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Proves that line breaks, indentation and blanks at the ends of fields, answers and options come through to the
    ids, which are those of lm_eval's rule for the joined text.
    """
    rows = [{"q": q, "right": right, "all": [right, f"{wrong}!"]} for q, right, wrong in texts]
    fields, where = {"fields": {"q": "Q"}, "answer": "right", "answer_prefix": "A:"}, tmp_path_factory.mktemp("rows")
    task, found = examples(where / "choice", rows, options="all", **fields)
    assert [(e.inputs["q"], e.answer, list(e.options)) for e in found] == [(r["q"], r["right"], r["all"]) for r in rows]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text for row in texts for text in row], trainer)
    encoder = Encoder(tokenizer, (), 0)
    encoded = requests.encode(task, "default", found, (), encoder, 500)
    prefix = encoded.groups[0][1]
    for row, request in zip(rows, encoded.requests, strict=True):
        for option, ids in zip(row["all"], request.options, strict=True):
            pair = by_lm_eval(encoder, f"Q: {row['q']}\nA:", f" {option}")
            assert ([*prefix, *request.context], list(ids)) == pair
    written, told = examples(where / "written", rows, **fields)
    recipe = Recipe("r", (("own", 1.0),), rows=2, epochs=1, learning_rates=(1e-3,))
    learned = training_sets.training_sequences([(written, told)], recipe, encoder)
    assert [encoder.decode((*prompt, *answer[:-1])) for prompt, answer in learned] == [
        f"Q: {row['q']}\nA: {row['right']}" for row in rows
    ]


@pytest.mark.parametrize(
    ("how", "asked", "answer"),
    [
        ("none", "Q: def f():\n    return \nA:", "  yes\nno \n"),
        ("ends", "Q: def f():\n    return\nA:", "yes\nno"),
        ("spaces", "Q: def f(): return\nA:", "yes no"),
    ],
)
def test_a_task_states_what_is_done_to_its_texts(tmp_path: Path, how: str, asked: str, answer: str) -> None:
    """Proves that `normalize` is a key of the task, and does what it says in every text."""
    rows = [{"q": "def f():\n    return ", "a": "  yes\nno \n"}, {"q": "x", "a": "y"}]
    task, [first, _] = examples(tmp_path, rows, fields={"q": "Q"}, answer="a", answer_prefix="A:", normalize=how)
    assert render.prompt(task, "default", first) == asked
    assert first.answer == answer
    assert task.normalize == how


def test_an_unknown_way_to_normalize_is_refused_by_the_study() -> None:
    """Proves that a misspelt value stops at the study, with the values that there are."""
    with pytest.raises(Exception, match=r"none.*ends.*spaces"):
        studies.parse(toy_table(tasks={"own": {"source": "file:x", "normalize": "space"}}))


def test_blanks_between_prompt_and_completion_are_kept_or_refused(tmp_path: Path) -> None:
    """Proves that a pair keeps all blanks but the one space between its parts, and is refused where others stand."""
    pairs = [{"prompt": "  if x:\n", "completion": "    y"}, {"prompt": "b", "completion": "c"}]
    with pytest.raises(DataError, match=r"stands between prompt and completion.*normalize"):
        examples(tmp_path, pairs, layout="prompt_completion")
    pairs[0] = {"prompt": "  if\n x: ", "completion": "y\n  z "}
    task, [first, _] = examples(tmp_path, pairs, layout="prompt_completion")
    assert {render.prompt(task, name, first) for name in FORMATS} == {"  if\n x:"}
    assert first.answer == "y\n  z "


def test_a_prompt_that_would_lose_its_last_blanks_is_refused(tmp_path: Path) -> None:
    """Proves that without an answer prefix a field's last blanks are not dropped in silence."""
    rows = [{"q": "one ", "a": "x"}, {"q": "two", "a": "y"}]
    task, [first, second] = examples(tmp_path, rows, fields={"q": "Q"}, answer="a", answer_prefix="")
    assert render.prompt(task, "default", second) == "Q: two"
    with pytest.raises(DataError, match=r"ends in ' '.*answer_prefix"):
        render.prompt(task, "default", first)


def test_messages_keep_their_lines(tmp_path: Path) -> None:
    """Proves that what is said in a dialogue is learned as it was written, indentation and all."""
    said = [{"role": "user", "content": "  a:\n    b\n"}, {"role": "assistant", "content": "\tyes\n"}]
    other = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    task, [first, _] = examples(tmp_path, [{"messages": said}, {"messages": other}], layout="messages")
    assert render.turns(task, "default", first) == [("<|user|>\n  a:\n    b\n\n<|assistant|>", "\tyes\n")]
    _, [plain, _] = examples(tmp_path, [{"messages": said}, {"messages": other}], layout="messages", normalize="ends")
    assert (plain.inputs["messages"], plain.answer) == ("<|user|>\na:\n    b", "yes")
