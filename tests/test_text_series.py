"""A series pre-trained on text from files: cutting, epochs, counting, identity, and the whole way with a tiny model."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from amuro.core import stopping
from amuro.core.errors import AmuroError, DataError, StudyError
from amuro.data import files
from amuro.data.text_corpus import TextCorpus, parts
from amuro.engine.pretraining.pretrain import pretrain
from amuro.engine.pretraining.tokenizer import train_tokenizer
from amuro.run import runner as run_room
from amuro.run.runner import perform
from amuro.series import load_series_kind
from amuro.series._pretrain_text import TextConfig
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.status import states
from amuro.study.store import Store

SENTENCE = "the lantern of a miller burns oil and his neighbour reads by it until rain comes over the hill"
WORDS = SENTENCE.split()
TEXTS = [" ".join(WORDS[(i * k) % len(WORDS)] for k in range(1, 4 + i % 30)) + f" {i}." for i in range(60)]
SIZE = {
    "vocab_size": 300, "hidden_size": 16, "layers": 2, "heads": 2, "intermediate_size": 24, "rows": 2,
    "row_length": 24, "warmup_steps": 2,
}  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write(folder / "train.jsonl", [{"text": text} for text in TEXTS])
    write(folder / "test.jsonl", [{"cluster": text, "text": text} for text in TEXTS[::2]])
    return folder


@pytest.fixture(scope="module")
def config(corpus_folder: Path) -> TextConfig:
    return TextConfig(source=f"file:{corpus_folder}", steps=(0, 20, 45), **SIZE).pinned()


@pytest.fixture(scope="module")
def finished(config: TextConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny series over more than one epoch, made in one go."""
    folder = tmp_path_factory.mktemp("series")
    pretrain(config, folder, threads=1)
    return folder


@cache
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 300)


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(folder / f"step-{step:08d}" / "model.safetensors")


def test_checkpoints_are_ordinary_folders_of_a_model_that_learns(config: TextConfig, finished: Path) -> None:
    """Model and tokenizer load with the library alone, and later checkpoints are less surprised by the corpus."""
    losses = []
    for step in config.steps:
        folder = finished / f"step-{step:08d}"
        model, words = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        assert type(model).__name__ == "Olmo2ForCausalLM"
        assert model.num_parameters() == config.parameters()
        ids = words(TEXTS[28], return_tensors="pt")["input_ids"]
        losses.append(float(model(input_ids=ids, labels=ids).loss.detach()))
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1] + 0.5


@pytest.mark.parametrize("stop_after", [20, 31])
def test_an_interrupted_run_ends_in_the_same_bits(
    config: TextConfig, finished: Path, tmp_path: Path, stop_after: int
) -> None:
    """Stopped at a checkpoint or within an epoch, and gone on with, every checkpoint equals that of one go."""
    done: list[int] = []
    pretrain(config, tmp_path, lambda step, last, loss: done.append(step), lambda: len(done) == stop_after, threads=1)
    pretrain(config, tmp_path, lambda step, last, loss: done.append(step), threads=1)
    assert done == list(range(1, 46))
    for step in config.steps:
        whole, resumed = weights(finished, step), weights(tmp_path, step)
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_pre_training_saves_its_step_when_asked_to_end(corpus_folder: Path, tmp_path: Path) -> None:
    """SIGTERM within a run's pre-training: the step in hand is finished and its state kept, and only then it ends."""
    table = {
        "name": "t", "engine": "toy", "series": {"mine": {"kind": "text", "source": f"file:{corpus_folder}",
                                                          "steps": [0, 45], **SIZE}},
        "evaluate": [{"models": ["base"], "sets": ["world_inference/test"], "limit": 2}],
    }  # fmt: skip
    plan, store = planning.make(studies.parse(table)), Store(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (*stopping.SIGNALS, signal.SIGALRM)}

    def emit(event: Mapping[str, Any]) -> None:
        if event["done"] == 7:
            signal.raise_signal(signal.SIGTERM)

    stopping.heed(patient=True)
    try:
        with pytest.raises(stopping.Stopped):
            run_room.pretrain(plan, store, "mine", emit)
    finally:
        stopping.forget()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert [path.name for path in tmp_path.glob("series/*/state/*")] == ["step-00000007"]


def test_the_seed_decides_weights_and_order(config: TextConfig, finished: Path, tmp_path: Path) -> None:
    """Another pretrain_seed is another untrained model, another order of documents, and another identity."""
    other = replace(config, pretrain_seed=1, steps=(0,))
    pretrain(other, tmp_path, threads=1)
    name = "model.embed_tokens.weight"
    assert not torch.equal(weights(tmp_path, 0)[name], weights(finished, 0)[name])
    first, second = (c.corpus().stream(0, tokenizer()) for c in (config, other))
    assert [first(n) for n in range(60)] != [second(n) for n in range(60)]
    assert config.digest() != other.digest()


def test_every_epoch_reads_every_document_once_in_an_order_of_its_own() -> None:
    """Three epochs hold the same documents and differ in their order; any number can be asked for first."""
    corpus = TextCorpus(TEXTS, 0, 10, 256)
    size = len(TEXTS)
    text = corpus.stream(0, tokenizer())
    epochs = [[text(n) for n in range(size * e, size * (e + 1))] for e in range(3)]
    assert Counter(epochs[0]) == Counter(epochs[1]) == Counter(epochs[2])
    assert set(TEXTS) == set(epochs[0])
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert corpus.stream(0, tokenizer())(2 * size + 5) == epochs[2][5]
    assert list(corpus.sample()) == TEXTS[:10]


@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.sampled_from([*WORDS, "it,", "(oil)"]), min_size=1, max_size=80), length=st.integers(14, 40))
def test_parts_have_the_tokens_of_the_whole_and_fit_a_row(words: list[str], length: int) -> None:
    """Parts joined are the document, each fits with the end-of-text before it, and counts are those of its encoding."""
    text = " ".join(words)
    found = list(parts([text], tokenizer(), length))
    encoded = [tokenizer().encode(part).ids for part, _ in found]
    assert [count for _, count in found] == [len(ids) for ids in encoded]
    assert max(map(len, encoded)) <= length
    assert [token for ids in encoded for token in ids[1:]] == tokenizer().encode(text).ids[1:]


def test_a_word_that_no_row_can_hold_is_refused() -> None:
    """It is neither cut within nor left out in silence."""
    with pytest.raises(DataError, match="a word of a document has more than 23 tokens: 'a zqzq"):
        list(parts(["a " + "zq" * 40 + " b"], tokenizer(), 24))


def test_tokens_read_again_are_not_unique(config: TextConfig) -> None:
    """Unique tokens stop at one pass over the corpus; without its size nobody claims to know them."""
    assert [config.unique_tokens_at(step) for step in config.steps] == [None, None, None]
    stated = replace(config, corpus_tokens=1000)
    assert [stated.tokens_at(step) for step in stated.steps] == [0, 960, 2160]
    assert [stated.unique_tokens_at(step) for step in stated.steps] == [0, 960, 1000]
    assert stated.digest() == config.digest()


def test_a_wrong_number_of_corpus_tokens_is_refused_with_the_right_one(config: TextConfig, tmp_path: Path) -> None:
    """The stated size is checked against the corpus under its own vocabulary, before any step."""
    total = sum(count for _, count in parts(config.corpus().texts, _vocabulary(config), config.row_length))
    with pytest.raises(DataError, match=f"write corpus_tokens = {total}"):
        pretrain(replace(config, corpus_tokens=total + 1), tmp_path)
    pretrain(replace(config, corpus_tokens=total, steps=(0,)), tmp_path)
    assert weights(tmp_path, 0)


def _vocabulary(config: TextConfig) -> Tokenizer:
    return train_tokenizer(config.corpus().sample(), config.vocab_size)


def test_a_corpus_is_known_by_its_bytes(config: TextConfig, corpus_folder: Path, tmp_path: Path) -> None:
    """A moved corpus is the same series, a changed one another, and one that is not the pinned one is refused."""
    options = {"kind": "text", "steps": [0, 1], **SIZE}
    kind = load_series_kind("text")
    (first, _) = kind.checkpoints("t", {**options, "source": f"file:{corpus_folder}"})
    moved = tmp_path / "moved" / "train.jsonl"
    moved.parent.mkdir()
    moved.write_bytes((corpus_folder / "train.jsonl").read_bytes())
    (same, _) = kind.checkpoints("t", {**options, "source": f"file:{moved.parent}"})
    moved.write_bytes(moved.read_bytes().replace(b"lantern", b"candle"))
    (other, _) = kind.checkpoints("t", {**options, "source": f"file:{moved.parent}"})
    assert first.identity == same.identity != other.identity
    assert (first.step, first.schedule, first.source) == (0, "initial", "text")
    pinned = replace(config, source=f"file:{moved.parent}")
    with pytest.raises(DataError, match="the study pins"):
        pinned.corpus()


def test_a_split_of_several_files_is_known_by_all_of_them(tmp_path: Path) -> None:
    """A changed file and a changed name change the digest; the folder's own name does not."""
    digests = []
    for folder, member, text in (("a", "1", "x"), ("b", "1", "x"), ("c", "1", "y"), ("d", "2", "x")):
        (tmp_path / folder / "train").mkdir(parents=True)
        (tmp_path / folder / "train" / member).write_text(text)
        (tmp_path / folder / "train" / "state.json").write_text("{}")
        digests.append(files.sha256(str(tmp_path / folder), "train"))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_pinned_corpus_need_not_be_there_to_be_planned() -> None:
    """With its digest stated, checkpoints are known before the material is fetched; without it they are not."""
    options = {"kind": "text", "source": "file:/nowhere/at/all", "steps": [0, 8]}
    kind = load_series_kind("text")
    assert [c.step for c in kind.checkpoints("t", {**options, "corpus_sha256": "00"})] == [0, 8]
    with pytest.raises(DataError, match="/nowhere/at/all does not exist"):
        kind.checkpoints("t", options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "hub:a/b"}, "source of a text series is 'hub:a/b'"),
        ({"steps": [0, 5, 3]}, "steps of a text series are"),
        ({"corpus_tokens": 0}, "corpus_tokens of a text series is 0"),
        ({"corpus_tokens": True}, "corpus_tokens of a text series is True"),
        ({"world_seed": 1}, "unknown key 'world_seed' for a text series"),
    ],
)
def test_bad_options_are_refused(change: dict[str, Any], message: str) -> None:
    """Each is named with its value before anything is read."""
    options = {"source": "file:/nowhere", "corpus_sha256": "00", "steps": [0, 1], **change}
    with pytest.raises(StudyError) as caught:
        load_series_kind("text").checkpoints("t", options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("rows", "message"), [([], "is empty"), ([{"text": "a"}, {"text": " "}], "row 1"), ([{"texts": "a"}], "row 0")]
)
def test_a_corpus_without_text_is_refused(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    """An empty file, a blank text and a row without the field never become a shorter corpus."""
    write(tmp_path / "train.jsonl", rows)
    with pytest.raises(AmuroError, match=message):
        TextConfig(source=f"file:{tmp_path}").corpus()


def test_a_study_on_text_runs_from_nothing_to_cells(corpus_folder: Path, tmp_path: Path) -> None:
    """The run's own jobs pre-train the series, tune a checkpoint and fill every cell: documents of the held-out split,
    and choices of the trained and the untrained model.
    """
    choices = {"text": ["oil", "rain", "a hill"], "label": ["A", "B", "C"]}
    rows = [{"id": str(i), "question": f"{TEXTS[i % 60]} so what?", "choices": choices, "answerKey": "ABC"[i % 3]}
            for i in range(520)]  # fmt: skip
    write(tmp_path / "arc" / "train.jsonl", rows)
    write(tmp_path / "arc" / "validation.jsonl", rows[:30])
    study = studies.parse({
        "name": "tiny", "dev_limit": 8, "workers": 1,
        "series": {"mine": {"kind": "text", "source": f"file:{corpus_folder}", "steps": [0, 3], **SIZE}},
        "sources": {"arc_easy": f"file:{tmp_path / 'arc'}", "english_corpus": f"file:{corpus_folder}"},
        "tune": [{"name": "arc", "tasks": ["arc_easy"], "rows": 16, "epochs": 1, "learning_rate": 1e-3,
                  "checkpoints": [3], "in_domain": ["arc_easy/test"]}],
        "evaluate": [{"models": ["base", "tuned"], "sets": ["arc_easy/test", "english_corpus/test"], "limit": 10}],
    })  # fmt: skip
    plan, store = planning.make(study), Store(tmp_path / "store")
    store.prepare()
    told: list[Mapping[str, Any]] = []
    base = {"study": study.model_dump_json(), "store": str(store.root)}
    perform({**base, "pretrain": "mine"}, told.append)
    assert [event["done"] for event in told] == [1, 2, 3]
    for model, cells in plan.cells_by_model().items():
        perform({**base, "model": model.address, "cells": [cell.address for cell in cells]}, told.append)
    assert [event for event in told if event["event"] in ("failed", "lost")] == []
    assert all(state.done for state in states(plan, store))
