"""What is left of ids for which there is too little room, learned or asked."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest
from conftest import toy_table
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.core.types import Recipe
from amuro.data import sources
from amuro.engine.toy import ToyEngine
from amuro.prompts import cutting
from amuro.prompts.tokenizer import Encoder
from amuro.results.analyze import results
from amuro.results.flags import CUT, FEWER
from amuro.run import requests, training_sets
from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.store import Store
from amuro.tasks import load_task

BOS = (7, 7)
ENCODER = dataclasses.replace(Encoder.of_bytes(), bos=BOS)
TASK = load_task("world_inference")
TEST = sources.examples(TASK, "test", "3", limit=6)
RECIPE = Recipe("r", (("world_inference", 1.0),), rows=6, epochs=1, learning_rates=(1e-3,))
WHOLE = training_sets.training_sequences([(TASK, TEST)], RECIPE, ENCODER)

parts = st.lists(st.integers(10, 99), min_size=1, max_size=12).map(tuple)


def test_a_dialogue_too_long_loses_its_first_turns() -> None:
    """Whole turns go from the front before the last prompt is cut from the left."""
    turns = ((2, 3), (4, 1), (5, 6, 7), (8, 1))
    assert cutting.turns(turns, 0, 6) == ((5, 6, 7), (8, 1))
    assert cutting.turns(turns, 0, 4) == ((6, 7), (8, 1))
    assert cutting.turns(turns, 0, 9) == turns
    assert cutting.turns(turns, 1, 6) == ((2, 5, 6, 7), (8, 1))


def test_an_answer_too_long_loses_its_end() -> None:
    """Some replies of real dialogues outgrow any context: they are learned as far as they fit, after a prompt of half
    the room at the most, and without the end-of-text that they did not reach.
    """
    turns = ((2, 3), (4, 1), (5, 6, 7, 8), (9,) * 9 + (1,))
    assert cutting.turns(turns, 0, 6) == ((6, 7, 8), (9, 9, 9))
    assert cutting.turns(((5,), (9,) * 9 + (1,)), 0, 6) == ((5,), (9,) * 5)
    assert cutting.turns(((5,), (9,) * 9), 1, 1) == ((5,), ())


@settings(max_examples=60, deadline=None)
@given(dialogue=st.lists(st.tuples(parts, parts), min_size=1, max_size=3), begins=st.integers(0, 2), room=st.data())
def test_what_is_cut_keeps_its_beginning_its_end_and_its_length(
    dialogue: list[tuple[tuple[int, ...], tuple[int, ...]]], begins: int, room: st.DataObject
) -> None:
    """Proves that BOS stays before whatever is left, that no room is exceeded, and that the last answer stays whole
    where it fits.
    """
    (first, answer), *others = dialogue
    whole = ((*BOS[:begins], *first), answer, *(part for pair in others for part in pair))
    length = room.draw(st.integers(begins + 2, sum(map(len, whole)) + 2))
    cut = cutting.turns(whole, begins, length)
    assert cut[0][:begins] == BOS[:begins]
    assert sum(map(len, cut)) <= length
    assert len(cut) % 2 == 0
    assert cut[-1] == whole[-1] or len(whole[-1]) >= length - begins
    assert (cut == whole) == (sum(map(len, whole)) <= length)


@settings(max_examples=15, deadline=None)
@given(room=st.integers(12, max(sum(map(len, pair)) for pair in WHOLE) + 3))
def test_what_is_learned_is_cut_as_what_is_asked(room: int) -> None:
    """Proves that a prompt too long for the room is learned, id for id, as it is asked, and counted on both sides."""
    learned = training_sets.training_set([(TASK, TEST)], RECIPE, ENCODER, room)
    kept = [len(pair[1]) - 1 for pair in WHOLE]
    for (prompt, answer), whole in zip(learned.sequences, WHOLE, strict=True):
        assert prompt[: len(BOS)] == BOS
        assert prompt == cutting.prompt(whole[0], len(BOS), room - len(answer))
    longest = max(kept) + len(BOS)
    encoded = requests.encode(TASK, "default", TEST, (), ENCODER, room) if room > longest else None
    for row, request in enumerate(encoded.requests if encoded else ()):
        asked = (*encoded.groups[0][1], *request.context) if encoded else ()
        assert asked[: len(BOS)] == BOS
        spare = max(map(len, request.options))
        assert asked == cutting.prompt(WHOLE[row][0], len(BOS), room - spare)
    assert learned.truncated == sum(sum(map(len, pair)) > room for pair in WHOLE)


def test_what_was_cut_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that cut prompts, shots that found no room and cut training rows stand in the scores and in the flags."""
    monkeypatch.setattr(ToyEngine, "context_length", lambda self: 60)
    sets = ["world_inference/test"]
    asked = [{"models": ["base", "tuned"], "sets": sets, "shots": [0, 4], "limit": 20}]
    tune = toy_table()["tune"][0] | {"max_length": 60, "out_of_domain": []}
    plan = planning.make(studies.parse(toy_table(evaluate=asked, tune=[tune])))
    assert run(plan, store, lambda event: None).failures == []
    found = results(plan, store)
    scores = found.evidence.scores.filter(pl.col("split") == "test")
    assert (scores["truncated"] > 0).any()
    assert (scores.filter(pl.col("shots") == 4)["shots_shown"] < 4).all()
    named = {flag.name: flag.detail for flag in found.flags}
    assert "lost their beginning" in " ".join(f.detail for f in found.flags if f.name == CUT)
    assert any(f.detail == "32 of 32 training rows" for f in found.flags if f.name == CUT)
    assert "of 4 shots fit" in named[FEWER]
