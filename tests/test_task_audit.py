"""What is known of a set before it is asked: each defect is planted, and a clean set has no note."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from amuro.audits import tasks as auditing
from amuro.types import Example, Task

LABELLED = Task(
    name="inference",
    source="file:rows",
    family="inference",
    kind="label",
    metric="accuracy",
    example=lambda row: Example("", "", {}, ""),
    fields=(("premise", "premise"),),
    cue="relation:",
    instruction="Say it.",
    cluster="premise",
    splits={"train": "train", "test": "validation", "other": "train[500:]"},
    labels=("yes", "no"),
    chance=0.5,
)
CHOICE = replace(LABELLED, kind="choice", labels=(), chance=0.25)
WRITTEN = replace(LABELLED, kind="generate", labels=(), chance=None, max_new_tokens=60)


def rows(answers: Sequence[str], prefix: str = "q", options: tuple[str, ...] = ()) -> list[Example]:
    return [Example(str(i), str(i), {"premise": f"{prefix} {i}"}, a, options) for i, a in enumerate(answers)]


def names(found: auditing.TaskAudit) -> list[str]:
    return [note.name for note in found.notes]


def test_a_clean_set_has_no_note() -> None:
    """Balanced labels, distinct questions, enough clusters, nothing of train: nothing to say."""
    found = auditing.audit(LABELLED, "test", rows(["yes", "no"] * 50), rows(["yes"], "other"))
    assert found.notes == ()
    assert found.majority == 0.5
    assert found.histogram == {"no": 0.5, "yes": 0.5}


def test_one_gold_is_refused_unless_the_paper_scored_it() -> None:
    """A split whose every answer is the same is refused; the paper's hidden ones stay visible."""
    hidden = rows(["no"] * 60)
    [note] = auditing.audit(LABELLED, "test", hidden, []).notes
    assert (note.name, note.refused) == (auditing.CONSTANT, True)
    [note] = auditing.audit(replace(LABELLED, hidden_gold=True), "test", hidden, []).notes
    assert (note.name, note.refused) == (auditing.CONSTANT, False)


@pytest.mark.parametrize(
    ("task", "split", "examples", "note"),
    [
        (LABELLED, "test", rows(["no"] * 95 + ["yes"] * 5), auditing.ONE_SIDED),
        (CHOICE, "test", rows(["d"] * 60 + ["a"] * 10, options=("a", "b", "c", "d")), auditing.POSITION),
        (LABELLED, "test", rows(["yes", "no"] * 20), auditing.FEW),
        (LABELLED, "other", rows(["yes", "no"] * 50), auditing.ON_TRAIN),
    ],
)
def test_a_planted_defect_is_named(task: Task, split: str, examples: list[Example], note: str) -> None:
    """Each defect alone gives its own note and no other."""
    assert names(auditing.audit(task, split, examples, [])) == [note]


def test_doubles_and_contradictions_are_told_apart() -> None:
    """A repeated question is a duplicate; with another answer it is a contradiction as well."""
    once = rows(["yes", "no"] * 50)
    again = [replace(once[0], id="again"), replace(once[1], id="torn", answer="yes")]
    found = auditing.audit(LABELLED, "test", [*once, *again], [])
    assert names(found) == [auditing.DUPLICATES, auditing.CONTRADICTIONS]
    assert found.duplicates == pytest.approx(2 / 102)


def test_overlap_sees_through_case_and_spaces() -> None:
    """A question of train that differs in case and spacing alone counts as seen."""
    train = [Example("t", "t", {"premise": "Q  3"}, "no")]
    found = auditing.audit(LABELLED, "test", rows(["yes", "no"] * 50), train)
    assert names(found) == [auditing.SEEN]
    assert found.overlap == pytest.approx(0.01)


def test_prompts_beyond_the_context_are_foretold() -> None:
    """Long texts with four shots are named as too long; without shots the same rows fit."""
    long = [replace(e, inputs={"premise": e.inputs["premise"] + " word" * 500}) for e in rows(["a", "b"] * 50)]
    assert names(auditing.audit(WRITTEN, "test", long, [], shots=4)) == [auditing.LONG]
    assert names(auditing.audit(WRITTEN, "test", long, [], shots=0)) == []
