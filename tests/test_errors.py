"""The error family: one sentence, a cure, an exit code."""

from __future__ import annotations

import pickle

import pytest

from amuro.core import errors
from amuro.core.errors import AmuroError, SeriesError, StudyError, nearest

FAMILY = {
    "AmuroError": 1,
    "StudyError": 2,
    "DataError": 3,
    "WeightsError": 4,
    "SeriesError": 4,
    "StoreError": 5,
    "HubError": 6,
}


def test_every_error_has_the_exit_code_that_the_docs_state() -> None:
    """Proves that no error class exists without a documented exit code, and that none has another one."""
    classes = {n: c.exit_code for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, AmuroError)}
    assert classes == FAMILY
    for name, code in FAMILY.items():
        line = next(line for line in (errors.__doc__ or "").splitlines() if name in line)
        assert f" {code} " in line


def test_message_and_cure_are_one_sentence() -> None:
    """Proves that what is printed holds what is wrong and then what to do, on one line."""
    assert str(StudyError("unknown task 'nme'", "did you mean 'name'?")) == "unknown task 'nme'; did you mean 'name'?"
    assert str(StudyError("unknown task 'nme'")) == "unknown task 'nme'"


def test_errors_survive_the_way_between_processes() -> None:
    """Proves that a worker's error arrives in its parent with class, message and cure."""
    arrived = pickle.loads(pickle.dumps(SeriesError("step 3 twice", "leave one out")))
    assert (type(arrived), arrived.message, arrived.cure) == (SeriesError, "step 3 twice", "leave one out")


@pytest.mark.parametrize(
    ("word", "known", "cure"),
    [
        ("mnly", ["rte", "mnli"], "did you mean 'mnli'?"),
        ("MNLI", ["rte", "mnli"], "did you mean 'mnli'?"),
        ("zzz", ["rte", "mnli"], "known: mnli, rte"),
        (
            "zzz",
            [f"t{i:02}" for i in range(20)],
            "known: " + ", ".join(f"t{i:02}" for i in range(12)) + " … (20 in all)",
        ),
        ("zzz", [], "none is known here"),
    ],
)
def test_nearest(word: str, known: list[str], cure: str) -> None:
    """Proves that a near word is offered, that otherwise the known ones are listed, and that a long list is cut."""
    assert nearest(word, known) == cure
