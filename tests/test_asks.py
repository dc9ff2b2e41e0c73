"""Questions as ids: one encoder, shots that fit, and nothing cut without a mark."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, trainers

from amuro.core.errors import DataError
from amuro.core.types import Recipe
from amuro.data import sources
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.run import requests, training_sets
from amuro.tasks import load_task

ENCODER = dataclasses.replace(Encoder.of_bytes(), bos=(7, 7))
TASK = load_task("world_inference")
POOL = sources.examples(TASK, "train", "3", limit=60)
TEST = sources.examples(TASK, "test", "3", limit=12)
ROOM = 4096


def test_training_and_scoring_read_the_same_ids() -> None:
    """What is learned for an example is, id for id, what is asked about it and the option that is scored."""
    recipe = Recipe("r", (("world_inference", 1.0),), rows=12, epochs=1, learning_rates=(1e-3,))
    learned = training_sets.training_sequences([(TASK, TEST)], recipe, ENCODER)
    encoded = requests.encode(TASK, "default", TEST, (), ENCODER, ROOM)
    for (prompt, reply), request in zip(learned, encoded.requests, strict=True):
        assert prompt == (*encoded.groups[0][1], *request.context)
        assert reply == (*request.options[request.gold], ENCODER.eos)


def test_a_part_of_a_mixture_may_have_no_rows() -> None:
    """A small weight can round to nothing: the other parts are learned all the same."""
    recipe = Recipe("r", (("world_inference", 1.0),), rows=12, epochs=1, learning_rates=(1e-3,))
    both = training_sets.training_sequences([(TASK, ()), (TASK, TEST)], recipe, ENCODER)
    assert both == training_sets.training_sequences([(TASK, TEST)], recipe, ENCODER)


def test_shots_are_read_as_they_would_be_learned() -> None:
    """A shot's ids within a prefix are those of its prompt and its answer, without end-of-text."""
    shots = render.draw_shots(TASK, POOL, 2, shot_seed=0)
    encoded = requests.encode(TASK, "default", TEST, shots, ENCODER, ROOM)
    ((_, prefix, _),) = encoded.groups
    text = " ".join(f"{render.prompt(TASK, 'default', s)} {render.answer(TASK, s.answer)}" for s in shots)
    begun = (*ENCODER.bos, *ENCODER.prompts([text])[0])
    assert prefix[: len(begun)] == begun


@given(k=st.integers(0, 4), wording=st.sampled_from(["default", "instruct"]))
@settings(max_examples=20, deadline=None)
def test_a_prompt_is_encoded_as_one_text(k: int, wording: str) -> None:
    """Also where a tokenizer joins letters across the borders of shots; what all rows begin with is parted as ids."""
    shots = render.draw_shots(TASK, POOL, k, shot_seed=0)
    pairs = [f"{text} {reply}" for text, reply in render.shots_text(TASK, wording, shots)]
    head = "".join(pairs) + TASK.separator if k else ""
    texts = [head + render.prompt(TASK, wording, row) for row in TEST]
    tokenizer = Tokenizer(models.BPE())  # without words: it joins whatever is frequent
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    encoder = Encoder(tokenizer, (7, 7), 0)
    encoded = requests.encode(TASK, wording, TEST, shots, encoder, ROOM)
    ((shown, prefix, _),) = encoded.groups
    assert shown == k
    assert [(*prefix, *request.context) for request in encoded.requests] == [
        (7, 7, *ids) for ids in encoder.prompts(texts)
    ]
    assert len(prefix) >= requests.WORTH_SHARING or not prefix


@settings(max_examples=20, deadline=None)
@given(room=st.integers(150, 1200), k=st.integers(0, 6))
def test_no_row_outgrows_its_context(room: int, k: int) -> None:
    """Whatever the context length, prefix, prompt and answer fit; dropped shots and cut prompts are recorded."""
    shots = render.draw_shots(TASK, POOL, k, shot_seed=1)
    encoded = requests.encode(TASK, "instruct", TEST, shots, ENCODER, room)
    used = dict(zip(range(len(TEST)), encoded.k_effective(), strict=True))
    for shown, prefix, rows in encoded.groups:
        for row in rows:
            request = encoded.requests[row]
            longest = max(map(len, request.options))
            assert len(prefix) + len(request.context) + longest <= room
            assert used[row] == shown <= k
            assert not encoded.truncated[row] or shown == 0


def test_a_larger_number_of_shots_begins_with_the_smaller() -> None:
    """Two and four shots of one seed share their first two, so that k alone differs."""
    two, four = (render.draw_shots(TASK, POOL, k, shot_seed=5) for k in (2, 4))
    assert four[:2] == two


@given(k=st.integers(1, 9), shot_seed=st.integers(0, 50))
def test_shots_of_a_label_task_are_balanced(k: int, shot_seed: int) -> None:
    """No label is shown more than once more often than another."""
    shown = [shot.answer for shot in render.draw_shots(TASK, POOL, k, shot_seed)]
    counts = [shown.count(label) for label in TASK.labels]
    assert max(counts) - min(counts) <= 1
    assert len(shown) == k


def test_the_digest_follows_the_ids() -> None:
    """Other words, another order, or other shots make another key; the same ones the same."""
    plain = requests.encode(TASK, "default", TEST, (), ENCODER, ROOM)
    assert plain.ids_digest == requests.encode(TASK, "default", TEST, (), ENCODER, ROOM).ids_digest
    shuffled = Random(0).sample(TEST, len(TEST))
    others = [
        requests.encode(TASK, "instruct", TEST, (), ENCODER, ROOM),
        requests.encode(TASK, "default", shuffled, (), ENCODER, ROOM),
        requests.encode(TASK, "default", TEST, render.draw_shots(TASK, POOL, 1, 0), ENCODER, ROOM),
    ]
    assert len({plain.ids_digest, *(o.ids_digest for o in others)}) == 4


def test_an_answer_that_fills_the_context_is_refused() -> None:
    """There is no sensible score where not even one prompt token fits."""
    with pytest.raises(DataError, match="fills the context"):
        requests.encode(TASK, "default", TEST, (), ENCODER, 6)


def test_joint_and_parted_encoding_are_compared() -> None:
    """The audit counts exactly the pairs whose joint ids differ from the joined pieces."""
    assert ENCODER.disagreements(["a claim is"], ["true."]) == 0
    assert ENCODER.disagreements(["a claim is "], ["true."]) == 0  # bytes never merge
