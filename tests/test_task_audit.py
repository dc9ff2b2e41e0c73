"""What is known of a set before it is asked: each defect is planted, and a clean set has no note."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from amuro.cli.main import app
from amuro.core.types import Example, Task
from amuro.run.preflight import dataset_audit as auditing
from amuro.run.preflight.datasets import audit_all, keep
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.audit_keys import kept
from amuro.study.store import Store

LABELLED = Task(
    name="inference",
    source="file:rows",
    family="inference",
    kind="classification",
    metric="accuracy",
    example=lambda row: Example("", "", {}, ""),
    fields=(("premise", "premise"),),
    answer_prefix="relation:",
    instruction="Say it.",
    cluster="premise",
    splits={"train": "train", "test": "validation", "other": "train[500:]"},
    labels=("yes", "no"),
    chance=0.5,
)
CHOICE = replace(LABELLED, kind="multiple_choice", labels=(), chance=0.25)
WRITTEN = replace(LABELLED, kind="generation", labels=(), chance=None, max_new_tokens=60)


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


def own(folder: Path, train: list[dict[str, Any]], test: list[dict[str, Any]], **evaluate: Any) -> studies.Study:
    """A study of the toy engine that asks rows of one's own."""
    for name, rows_ in (("train", train), ("test", test)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_), encoding="utf-8")
    table = {"source": f"file:{folder}", "fields": {"text": "Text"}, "answer": "label", "labels": ["yes", "no"],
             "cluster": "author", "missing": "drop", "splits": {"train": "train", "test": "test"}}  # fmt: skip
    block = {"models": ["base"], "sets": ["mine/test"], **evaluate}
    return studies.parse({"name": "s", "engine": "toy", "series": {"t": {"kind": "toy", "steps": [1]}},
                          "tasks": {"mine": table}, "evaluate": [block]})  # fmt: skip


def written(count: int, authors: int, prefix: str = "") -> list[dict[str, Any]]:
    return [
        {"id": f"{prefix}{i}", "text": f"{prefix}text {i}", "label": ("yes", "no")[i % 2], "author": f"a{i % authors}"}
        for i in range(count)
    ]


def test_audits_describe_the_rows_that_are_asked(tmp_path: Path) -> None:
    """With a limit, doubles, overlap, clusters and majority are those of the first rows, not of the whole split."""
    test = [*written(60, 60), *written(40, 10, "late ")]
    test[90] |= {"text": "late text 0"}
    train = [*written(30, 30, "t"), {**test[95], "id": "seen"}]
    [first], _ = audit_all(planning.make(own(tmp_path, train, test, limit=60)))
    [whole], _ = audit_all(planning.make(own(tmp_path, train, test, limit=500)))
    assert (first.rows, first.clusters, first.doubles, first.seen) == (60, 60, (), ())
    assert (whole.rows, whole.doubles, whole.seen) == (100, ("late 30",), ("late 35",))
    assert (first.whole_rows, first.whole_clusters) == (whole.rows, whole.clusters)


def test_an_audit_is_made_anew_when_its_rows_or_its_limit_change(tmp_path: Path) -> None:
    """What the report reads of a set is of the rows that are asked now, whatever the store held before."""
    store = Store(tmp_path / "store")
    store.prepare()
    told = []
    for limit, test in ((60, written(80, 80)), (70, written(80, 80)), (70, written(80, 40))):
        plan = planning.make(own(tmp_path, written(30, 30, "t"), test, limit=limit))
        keep(plan, store, ["mine/test"])
        told.append([(m["rows"], m["clusters"]) for m in kept(plan, store, "tasks")])
    assert told == [[(60, 60)], [(70, 70)], [(70, 40)]]


def test_the_text_of_the_audit_says_what_its_facts_say(tmp_path: Path) -> None:
    """Authors in train, rows left out, rows among the shots, fewer rows than the limit: none is said by JSON alone."""
    train = written(40, 40)
    gap = {"id": "gap", "text": None, "label": "yes", "author": "a0"}
    folder = tmp_path / "rows"
    folder.mkdir()
    own(folder, train, [*train[:30], gap, *written(30, 5, "new ")])
    (tmp_path / "s.toml").write_text(
        f'name = "s"\nengine = "toy"\n[series.t]\nkind = "toy"\nsteps = [1]\n[tasks.mine]\nsource = "file:{folder}"\n'
        'fields = {text = "Text"}\nanswer = "label"\nlabels = ["yes", "no"]\ncluster = "author"\nmissing = "drop"\n'
        'splits = {train = "train", test = "test"}\n[[evaluate]]\nmodels = ["base"]\n'
        'sets = ["mine/test"]\nshots = [3]\n',
        encoding="utf-8",
    )
    done = CliRunner().invoke(app, ["audit", "tasks", str(tmp_path / "s.toml")], env={"COLUMNS": "200"})
    told = " ".join(done.output.split())
    [found], _ = audit_all(planning.make(studies.load(tmp_path / "s.toml")))
    assert found.replaced > 0
    for words in (
        "evaluates all 60 rows (limit 500)", "30 of 30 clusters (author), with 3 shots at most",
        "50.0% of the questions, 100.0% of the clusters", "the longest has 6 words", "gold answers: no 50%, yes 50%",
        "rows left out: 1 of 61 rows of the split", f"shots replaced: {found.replaced} of 60 rows",
        "seen in training: 50.0% of the questions are in train word for word (0, 1, 2, …)",
    ):  # fmt: skip
        assert words in told


def test_ids_that_two_files_share_are_no_shared_clusters() -> None:
    """Where each row stands alone, 1, 2, 3 in both files says nothing about train."""
    found = auditing.audit(LABELLED, "test", rows(["yes", "no"] * 50), rows(["yes", "no"] * 50, "other"))
    assert found.shared_clusters == 0


def test_rows_in_the_order_of_their_labels_are_told() -> None:
    """The first rows of a sorted file all have one answer: the note says what to do, and is no refusal."""
    [note] = auditing.audit(LABELLED, "test", rows(["no"] * 60), [], whole_rows=120).notes
    assert (note.name, note.refused) == (auditing.CONSTANT, False)
    assert "shuffle the rows" in note.detail
