"""Any TOML is either a grid with cells or one sentence: nothing in a study file ends in a traceback or without end."""

from __future__ import annotations

import copy
import datetime
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from conftest import toy_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amuro.core import hub
from amuro.core.errors import AmuroError
from amuro.study import config as studies
from amuro.study import plan as planning

OWN_TASK = {
    "source": "file:nowhere", "fields": {"text": "Text"}, "answer": "label", "answers": {"0": "no", "1": "yes"},
    "cluster": "author", "splits": {"train": "train", "dev": "dev[:20]", "test": "test"},
}  # fmt: skip
WHOLE = {
    **toy_table(),
    "toy": {"gain": 0.5},
    "tasks": {"mine": OWN_TASK},
    "sources": {"world_inference": "world:inference"},
    "revisions": {"mnli": "0" * 40},
    "device": "cpu",
    "precision": "float32",
    "series": {
        "toy": {"kind": "toy", "steps": [0, 1000, 10000], "tokens_per_step": 1000, "schedule": "constant"},
        "world": {"kind": "world", "pretrain_seed": 0, "steps": [0, 20], "layers": 2, "muon_rate": 0.02},
        "text": {"kind": "text", "source": "file:corpus", "corpus_sha256": "0" * 64, "steps": [0, 1000]},
        "pythia": {"kind": "pythia", "size": "160m", "at": "step[0,16]"},
        "hub": {"kind": "hub", "model": "acme/some@step0,step1000", "step_of": {"main": 5}, "parameters": 10**8},
    },
}
"""Every table that a study may have, without a file or a network behind it."""

WORDS = (
    *("", "base", "tuned", "none", "in_domain", "mine/test", "world_corpus/test", "cpu", "cuda:1", "lora", "a.b", ".."),
    *("hub:a/b", "file:x", "step[1,,2]", "a/b@all[0]", "x" * 300, "é\u2028"),
)
KEYS = (
    *("tokens_per_step", "corpus_tokens", "warmup_steps", "schedule", "steps", "parameters", "tokens_of", "lock", "at"),
    *("allow_duplicates", "layers", "anneal_steps", "max_length", "revisions", "checkpoints", "seed", "path"),
)
NUMBERS = (0, -1, 1, 2, 10**7, 10**12, 2**63 - 1, -(2**63), 0.0, -0.5, 1e-9, 1e30, 1e308, float("nan"), float("inf"))
PLAIN = st.one_of(
    st.sampled_from(NUMBERS), st.sampled_from(WORDS), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.just(datetime.date(2024, 1, 1)),
)  # fmt: skip
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
DEEP = st.integers(5, 3000).map(lambda depth: _nested(depth))


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a table, that of the whole included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if len(at) > 6:
        return []
    return [at, *(place for key, one in inner for place in _places(one, (*at, key)))]


def _kin(value: Any) -> st.SearchStrategy[Any]:
    """Other values of the same kind, which get past the first door."""
    if isinstance(value, bool | str):
        return st.sampled_from(WORDS) if isinstance(value, str) else st.booleans()
    if isinstance(value, int | float):
        return st.sampled_from([number for number in NUMBERS if type(number) is type(value)])
    if isinstance(value, list) and value and not isinstance(value[0], list):
        return st.lists(_kin(value[0]) | st.sampled_from(value), max_size=3)
    return ANYTHING


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A right study with one or two places changed, dropped or added to."""
    table = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 2))):
        places = [place for place in _places(table) if place]
        *above, last = draw(
            st.sampled_from([at for at in places if "series" in at] or places) | st.sampled_from(places)
        )
        holder: Any = table
        for key in above:
            holder = holder[key]
        change = draw(st.sampled_from(["kin", "kin", "any", "drop", "add"]))
        if change == "drop":
            del holder[last]
        elif change == "add" and isinstance(holder, dict):
            holder[draw(st.sampled_from(KEYS + WORDS) | st.text(max_size=6))] = draw(ANYTHING)
        else:
            holder[last] = draw(_kin(holder[last]) if change == "kin" else ANYTHING | DEEP)
    return table


def test_the_study_that_is_changed_is_right() -> None:
    """Otherwise every change of it would be refused for the same reason."""
    assert planning.make(studies.parse(WHOLE)).cells


@pytest.fixture(scope="module", autouse=True)
def _no_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "revisions", _unreachable)
        yield


def _unreachable(repository: str) -> NoReturn:
    raise hub.UnreachableError("no network in this test")


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_a_changed_study_is_a_grid_or_a_sentence(table: dict[str, Any]) -> None:
    """Whatever stands at any place of a study, planning gives cells or raises what amuro raises on purpose, soon."""
    started = time.process_time()
    try:
        cells: Any = planning.make(studies.parse(table)).cells
    except AmuroError as error:
        cells = str(error)
    assert 0 < len(cells) < 3000
    assert time.process_time() - started < 5
