"""What a checkpoint's files say of the ends of a text, and that ids are those of transformers' AutoTokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer

from amuro.core.errors import WeightsError
from amuro.core.types import Checkpoint, Example, Recipe, Task
from amuro.engine import _tokenizer_check
from amuro.prompts.tokenizer import Encoder
from amuro.run import requests, training_sets
from amuro.study.tokenizer_audit import endings

SPECIAL = {"<pad>": 0, "<s>": 1, "</s>": 2, "<|end|>": 3}
CHECKPOINT = Checkpoint("mine", 1, None, None, "constant", "folder:mine")


def folder(
    path: Path,
    template: str = "<s> $A",
    truncation: int | None = None,
    padding: Mapping[str, Any] | None = None,
    said: Mapping[str, Any] | None = None,
    **models_files: Mapping[str, Any],
) -> Path:
    """Tokenizer and configuration files of a checkpoint that reads bytes. said: more of tokenizer_config.json."""
    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), len(SPECIAL))}
    tokenizer = Tokenizer(models.BPE({**SPECIAL, **letters}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(name, i) for name, i in SPECIAL.items() if name in template]
    )
    if truncation:
        tokenizer.enable_truncation(truncation)
    if padding is not None:
        tokenizer.enable_padding(pad_id=0, pad_token="<pad>", **padding)
    path.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
    }
    files = {"tokenizer_config": config | dict(said or {}), "config": {"model_type": "llama", "eos_token_id": 2}}
    for name, content in (files | models_files).items():
        table = {key: value for key, value in content.items() if value is not None}
        (path / f"{name}.json").write_text(json.dumps(table), encoding="utf-8")
    return path


texts = st.lists(st.sampled_from(["a", "b ", "\n", "  ", "é", "世", "<s>", "</s>", "<|end|>", "7"]), max_size=12).map(
    "".join
)
saved = st.fixed_dictionaries(
    {"template": st.sampled_from(["$A", "<s> $A", "<s> $A </s>", "<s> <s> $A", "$A </s>"])},
    optional={
        "truncation": st.integers(2, 6),
        "padding": st.sampled_from([{}, {"length": 20}, {"pad_to_multiple_of": 8}, {"direction": "left"}]),
    },
)


@settings(max_examples=15, deadline=None)
@given(made=saved, asked=st.lists(texts, min_size=1, max_size=4))
def test_ids_are_those_of_transformers(made: dict[str, Any], asked: list[str], tmp_path_factory: Any) -> None:
    """Proves that whatever was saved in a tokenizer.json, texts have the ids that AutoTokenizer gives them when it is
    asked for neither padding nor truncation and to take text as text, with what it puts before them as BOS.
    """
    place = folder(tmp_path_factory.mktemp("saved"), **made)
    encoder, reference = Encoder.from_folder(place), AutoTokenizer.from_pretrained(place)
    plain: dict[str, Any] = {"add_special_tokens": False, "padding": False, "truncation": False}
    assert encoder.prompts(asked) == [
        tuple(reference(text, split_special_tokens=True, **plain).input_ids) for text in asked
    ]
    one = reference("ab", padding=False, truncation=False).input_ids
    bare = reference("ab", **plain).input_ids
    assert encoder.bos == tuple(one[: [one[i : i + 2] for i in range(len(one))].index(bare)])
    assert [encoder.decode(ids) for ids in encoder.prompts(asked)] == list(asked)


def task_of(answer: str) -> tuple[Task, Example]:
    task = Task(
        "own", "file:x", "own", "generation", "exact_match", lambda row: row, (("q", "Q"),), "A:", "", "row", {}
    )
    return task, Example("1", "1", {"q": "<s> what?"}, answer)


def test_an_answer_that_reads_like_a_special_token_is_learned_as_text(tmp_path: Path) -> None:
    """Proves that end-of-text is learned once, behind the answer, and that the answer comes back as it was written."""
    encoder = Encoder.from_folder(folder(tmp_path, "<s> $A </s>"))
    task, example = task_of("use </s> to end")
    recipe = Recipe("r", (("own", 1.0),), rows=1, epochs=1, learning_rates=(1e-3,))
    ((prompt, answer),) = training_sets.training_sequences([(task, [example])], recipe, encoder)
    assert (prompt.count(1), prompt[0], answer.count(2), answer[-1]) == (1, 1, 1, 2)
    assert encoder.decode(answer[:-1]) == " use </s> to end"
    encoded = requests.encode(task, "default", [example], (), encoder, 100)
    ((request_batch, _),) = encoded.batches(None)  # type: ignore[arg-type]
    assert request_batch.ends == {2}
    assert 2 not in (*request_batch.prefix, *request_batch.requests[0].context)


@pytest.mark.parametrize(
    ("said", "files", "taught", "ends", "told"),
    [
        ({}, {}, 2, {2}, ""),
        ({"eos_token": "<|end|>"}, {}, 3, {2, 3}, "tokenizer_config.json names 3, config.json names 2"),
        ({"eos_token": "<|end|>"}, {"generation_config": {"eos_token_id": [3, 2]}, "config": {}}, 3, {2, 3}, ""),
        ({"eos_token": None}, {}, 2, {2}, ""),
        ({"eos_token": None}, {"generation_config": {"eos_token_id": 1}}, 1, {1}, "config.json names 2"),
        ({}, {"config": {}}, 2, {2}, ""),
        ({}, {"config": {"eos_token_id": 99999}}, 2, {2}, "config.json names 99999"),
        (
            {"eos_token": {"content": "</s>"}},
            {"special_tokens_map": {"eos_token": "<s>"}},
            1,
            {1, 2},
            "special_tokens_map",
        ),
        ({"added_tokens_decoder": {}}, {"special_tokens_map": {"eos_token": "<s>"}}, 2, {1, 2}, "special_tokens_map"),
    ],
)
def test_one_place_decides_about_the_end(
    tmp_path: Path, said: dict[str, Any], files: dict[str, Any], taught: int, ends: set[int], told: str
) -> None:
    """Proves that what is taught is named first by the tokenizer's files, then by the model's, that it always ends a
    generation, with what the model's files name besides, and that a disagreement is told.
    """
    place = folder(tmp_path, said=said, **files)
    encoder = Encoder.from_folder(place)
    assert (encoder.eos, encoder.ends) == (taught, ends)
    assert told in " ".join(encoder.remarks)
    assert bool(told) == bool(encoder.remarks)
    if (said.get("eos_token") or "special_tokens_map" in files) and "added_tokens_decoder" not in said:
        assert AutoTokenizer.from_pretrained(place).eos_token_id == encoder.eos


@pytest.mark.parametrize(
    ("template", "kind", "add_bos", "told"),
    [
        ("<s> $A", "PreTrainedTokenizerFast", None, ""),
        ("<s> $A", "GPTNeoXTokenizerFast", None, "GPTNeoXTokenizer, which transformers reads it with, drops that"),
        ("$A", "GPTNeoXTokenizer", None, ""),
        ("$A", "PreTrainedTokenizerFast", True, "add_bos_token = true, and tokenizer.json puts nothing before"),
        ("<s> $A", "PreTrainedTokenizerFast", False, "add_bos_token = false, and tokenizer.json puts 1 before"),
        ("<s> $A </s>", "PreTrainedTokenizerFast", None, "also puts a token behind"),
    ],
)
def test_what_stands_before_a_text_is_told_where_readers_differ(
    tmp_path: Path, template: str, kind: str, add_bos: bool | None, told: str
) -> None:
    """Proves that a template which transformers drops, or which another file denies, is told without transformers."""
    config = {"model_type": "gpt_neox", "eos_token_id": 2}
    said = {"tokenizer_class": kind, "add_bos_token": add_bos}
    place = folder(tmp_path, template, said=said, config=config)
    encoder = Encoder.from_folder(place)
    assert told in " ".join(encoder.remarks)
    assert bool(told) == bool(encoder.remarks)
    theirs = AutoTokenizer.from_pretrained(place)("a").input_ids
    assert (tuple(theirs[: len(encoder.bos)]) != encoder.bos) == ("drops" in told)


def test_a_class_that_reads_texts_otherwise_is_told(tmp_path: Path) -> None:
    """Proves that where AutoTokenizer rebuilds what tokenizer.json says, a loaded checkpoint has a remark on it, and
    none where both give the same ids.
    """
    config = {"model_type": "gpt_neox", "eos_token_id": 2}
    assert _tokenizer_check.remark(folder(tmp_path / "corrected", config=config)) == ""
    assert _tokenizer_check.remark(folder(tmp_path / "behind", "<s> $A </s>", config=config)) == ""
    dropped = folder(tmp_path / "dropped", said={"tokenizer_class": "GPTNeoXTokenizer"}, config=config)
    assert "GPTNeoXTokenizer of transformers gives other ids" in _tokenizer_check.remark(dropped)
    metaspace = folder(tmp_path / "split", "$A", said={"tokenizer_class": "GPTNeoXTokenizer"}, config=config)
    file = metaspace / "tokenizer.json"
    table = json.loads(file.read_text(encoding="utf-8"))
    table["pre_tokenizer"]["add_prefix_space"] = True
    file.write_text(json.dumps(table), encoding="utf-8")
    assert "gives other ids" in _tokenizer_check.remark(metaspace)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("tokenizer.json", "[]", "is no tokenizer"),
        ("tokenizer.json", "{}", "is no tokenizer"),
        ("tokenizer.json", "null", "is no tokenizer"),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": {"a": "x"}, "merges": []}}', "is no tokenizer"),
        ("tokenizer.json", '{"model": {"type": "Unheard", "vocab": {}}}', "is no tokenizer"),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": {"a": -3}, "merges": []}}', "is no tokenizer"),
        ("tokenizer_config.json", "[]", "holds no table"),
        ("tokenizer_config.json", '{"eos_token": "<nowhere>"}', "not in the vocabulary"),
        ("tokenizer_config.json", '{"eos_token": 2}', "not in the vocabulary"),
        ("generation_config.json", "[2]", "holds no table"),
        ("config.json", '{"eos_token_id": "</s>"}', "eos_token_id"),
        ("config.json", '{"eos_token_id": [2, true]}', "eos_token_id"),
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, name: str, text: str, told: str) -> None:
    """Proves that the audit, which a plan asks too, refuses the checkpoint in one sentence that names the file."""
    place = folder(tmp_path)
    (place / name).write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match=told):
        Encoder.from_folder(place)
    (fault,) = endings({CHECKPOINT: place})
    assert (fault.level, fault.checkpoint) == ("refused", CHECKPOINT.address)
    assert str(place / name) in fault.detail


def test_an_end_that_only_the_model_names_must_have_a_token(tmp_path: Path) -> None:
    """Proves that an id without a token is refused where it is what would be taught."""
    place = folder(tmp_path, said={"eos_token": None}, config={"eos_token_id": 99999})
    with pytest.raises(WeightsError, match="99999"):
        Encoder.from_folder(place)


def test_files_that_many_checkpoints_share_are_told_once(tmp_path: Path) -> None:
    """Proves that a remark on a whole series is one fault, and one on some of it names them."""
    places = {Checkpoint("mine", i, None, None, "constant", f"folder:{i}"): tmp_path / str(i) for i in range(3)}
    for place in places.values():
        folder(place, said={"eos_token": "<|end|>"})
    (fault,) = endings(places)
    assert (fault.level, fault.checkpoint) == ("doubtful", "")
    first = next(iter(places))
    folder(places[first])
    (fault,) = endings(places)
    assert "and 1 more" in fault.detail
