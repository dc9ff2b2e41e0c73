"""What is known of an evaluation set before anything is asked: its labels, its doubles, and what it shares with train.

Everything is said of the rows that the study asks: the first ones of the split, up to its limit.

| note | is raised where |
|---|---|
| constant gold | every answer is the same: a hidden test split looks like that. Refused |
| one-sided gold | one answer is right in at least 90 % of the rows |
| gold by position | the right option stands at one place in more rows than chance and its noise allow |
| few clusters | fewer than 50 clusters: too few for a claim to rest on |
| duplicates | at least 1 % of the rows repeat an earlier row |
| contradictions | the same question has two different answers |
| seen in training | at least 1 % of the questions stand in train word for word |
| rows left out | a value was missing, and the study says missing = "drop" |
| shots replaced | rows that stand among the shots: they are shown other ones |
| repeated options | rows that offer one option twice |
| scored on train | the split is the source's own train split |
| longer than the context | the expected length of some prompts with their shots is beyond the context |
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from amuro.core.types import Example, Task
from amuro.prompts import render

CONSTANT, ONE_SIDED, POSITION = "constant gold", "one-sided gold", "gold by position"
FEW, DUPLICATES, CONTRADICTIONS = "few clusters", "duplicates", "contradictions"
SEEN, ON_TRAIN, LONG = "seen in training", "scored on train", "longer than the context"
DROPPED, REPLACED, REPEATED = "rows left out", "shots replaced", "repeated options"

NORMALIZED = {
    "ends": 'blanks at the ends of texts are taken off (normalize = "ends")',
    "spaces": 'texts are put on one line, with single spaces (normalize = "spaces")',
}
LEAST_CLUSTERS = 50
"""SCIENCE: a set on which a claim rests has at least so many."""
ONE_SIDED_FROM = 0.9
NOTABLE_SHARE = 0.01
NAMED = 3
"""How many of the rows that a note is about it names; `facts` name more."""
LISTED = 50
TOKENS_A_WORD = 1.4
"""Of English prose under byte-level BPE with 50,000 entries, about; where no tokenizer is at hand."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know before reading this set's scores. A refused set is not asked at all."""

    name: str
    detail: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class TaskAudit:
    """The facts of one evaluation set, as a study asks it."""

    task: str
    split: str
    origin: str
    """Source and the source's own name of the split."""
    rows: int
    """That are asked, and so are clusters."""
    clusters: int
    histogram: Mapping[str, float]
    """Share of each label, or of each place of the right option; empty where text is generated."""
    chance: float | None
    duplicates: float
    overlap: float
    """Share of the rows whose question stands in train word for word."""
    shared_clusters: float
    """Share of the clusters that train has as well."""
    normalize: str
    """What is done to the texts of each row, as the task states."""
    mean_words: float
    most_words: int
    """Of prompt and answer in the default format, no shots."""
    constant: float | None
    """Where text is generated: the score of the one string that does best on train, given to every question."""
    notes: tuple[Note, ...]
    cluster: str
    """What rows share, in words."""
    whole_rows: int
    """Of the split, before the limit; so are the clusters."""
    whole_clusters: int
    limit: int | None = None
    """Rows that the study asks for at the most."""
    shots: int = 0
    """The most that it asks with."""
    replaced: int = 0
    """Rows that stand among the shots, and are shown other ones."""
    dropped: tuple[str, ...] = ()
    """Ids of rows that were left out because a value was missing."""
    doubles: tuple[str, ...] = ()
    """Ids of the asked rows that repeat an earlier one."""
    seen: tuple[str, ...] = ()
    """Ids of the asked rows whose question stands in train."""

    @property
    def majority(self) -> float | None:
        """Accuracy of the most frequent label; None where there are no labels."""
        return max(self.histogram.values(), default=None)

    def lines(self) -> Iterator[str]:
        """Every fact that needs no warning, in words."""
        asked = "all" if self.rows == self.whole_rows else f"the first {self.rows:,} of"
        limit = f" (limit {self.limit:,})" if self.limit else ""
        yield (f"asks {asked} {self.whole_rows:,} rows{limit} of {self.origin}, {self.clusters:,} of "
               f"{self.whole_clusters:,} clusters ({self.cluster}), with {self.shots} shots at the most")  # fmt: skip
        yield f"in train as well: {self.overlap:.1%} of the questions, {self.shared_clusters:.1%} of the clusters"
        yield f"{self.duplicates:.1%} of the rows repeat an earlier one; the longest has {self.most_words:,} words"
        if self.normalize != "none":
            yield NORMALIZED[self.normalize]
        if self.histogram:
            yield "right answers: " + ", ".join(f"{name} {share:.0%}" for name, share in self.histogram.items())

    def facts(self) -> dict[str, Any]:
        """As plain data, for the store."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name not in ("notes", "histogram")}
        for name in ("dropped", "doubles", "seen"):
            fields |= {name: list(fields[name][:LISTED]), f"{name}_rows": len(fields[name])}
        notes = [[note.name, note.detail, note.refused] for note in self.notes]
        return {"audit": "tasks", **fields, "histogram": dict(self.histogram), "notes": notes}


def audit(
    task: Task,
    split: str,
    examples: Sequence[Example],
    train: Sequence[Example],
    shots: int = 0,
    context: int = 2048,
    constant: float | None = None,
    **asked: Any,
) -> TaskAudit:
    """Audits the asked rows of a split against train (empty where there is none or it is not read). Raises nothing.

    shots: the most that the study asks with. context: tokens that the model reads at once. asked: what else is known
    of the way the study asks, as fields of the audit; without it the rows are the whole split.
    """
    questions = [render.question(example) for example in examples]
    learned, known = {render.question(example) for example in train}, {example.cluster for example in train}
    clusters = {example.cluster for example in examples}
    words = [_words(task, example) for example in examples] or [0]
    first = {question: place for place, question in reversed(list(enumerate(questions)))}
    doubles = tuple(e.id for i, (e, q) in enumerate(zip(examples, questions, strict=True)) if first[q] < i)
    seen = tuple(e.id for e, q in zip(examples, questions, strict=True) if q in learned)
    alone = all(example.cluster == example.id for example in examples)  # then ids that two splits share say nothing
    whole = {"whole_rows": len(examples), "whole_clusters": len(clusters)}
    facts = TaskAudit(
        task=task.name,
        split=split,
        origin=f"{task.source} {task.splits[split]}",
        rows=len(examples),
        clusters=len(clusters),
        histogram=_histogram(task, examples),
        chance=_chance(task, examples),
        duplicates=len(doubles) / max(len(examples), 1),
        overlap=len(seen) / max(len(examples), 1),
        shared_clusters=0.0 if alone else len(clusters & known) / max(len(clusters), 1),
        normalize=task.normalize,
        mean_words=float(np.mean(words)),
        most_words=max(words),
        constant=constant,
        notes=(),
        cluster=task.cluster,
        shots=shots,
        doubles=doubles,
        seen=seen,
        **{**whole, **asked},
    )
    of_gold, of_rows = _gold_notes(task, examples, facts), _row_notes(examples, facts)
    return replace(facts, notes=(*of_gold, *of_rows, *_length_notes(task, words, shots, context)))


def _words(task: Task, example: Example) -> int:
    if task.kind == "language_modeling":
        return len(example.answer.split())
    return len(f"{render.prompt(task, 'default', example)} {example.answer}".split())


def _chance(task: Task, examples: Sequence[Example]) -> float | None:
    """How often a guess is right: one label of all, or the mean over the rows of one option of theirs."""
    if task.kind == "classification":
        return 1 / len(task.labels)
    return (
        float(np.mean([1 / len(example.options) for example in examples])) if task.kind == "multiple_choice" else None
    )


def _histogram(task: Task, examples: Sequence[Example]) -> dict[str, float]:
    if task.kind == "classification":
        named = [example.answer for example in examples]
    elif task.kind == "multiple_choice":
        named = [f"option {render.gold(task, example) + 1}" for example in examples]
    else:
        return {}
    return {name: count / len(named) for name, count in sorted(Counter(named).items())}


def _gold_notes(task: Task, examples: Sequence[Example], found: TaskAudit) -> Iterator[Note]:
    if task.kind == "language_modeling":
        return
    answers = Counter(example.answer for example in examples)
    [(answer, count)] = answers.most_common(1)
    if len(answers) == 1:
        part = found.rows < found.whole_rows
        cure = f", the first of {found.whole_rows}: shuffle the rows, or raise the limit" if part else ""
        yield Note(CONSTANT, f"all {found.rows} answers are {answer!r}{cure}", refused=not (task.hidden_gold or part))
    elif task.kind == "classification" and count / found.rows >= ONE_SIDED_FROM:
        yield Note(ONE_SIDED, f"{answer!r} is right in {count / found.rows:.0%} of the rows")
    if task.kind == "multiple_choice" and len(answers) > 1:
        likely = float(np.mean([1 / len(example.options) for example in examples]))
        place, share = max(found.histogram.items(), key=lambda item: item[1])
        if share > likely + 4 * math.sqrt(likely * (1 - likely) / found.rows):
            yield Note(POSITION, f"{place} is right in {share:.0%} of the rows; a guess would be {likely:.0%}")


def _row_notes(examples: Sequence[Example], found: TaskAudit) -> Iterator[Note]:
    if found.clusters < LEAST_CLUSTERS:
        yield Note(FEW, f"{found.clusters} clusters; a claim needs {LEAST_CLUSTERS}")
    if found.duplicates >= NOTABLE_SHARE:
        yield Note(DUPLICATES, f"{found.duplicates:.1%} of the rows repeat an earlier one ({_named(found.doubles)})")
    answers: dict[Any, set[str]] = {}
    for example in examples:
        answers.setdefault(render.question(example), set()).add(example.answer)
    torn = sum(len(given) > 1 for given in answers.values())
    if torn and found.histogram:
        yield Note(CONTRADICTIONS, f"{torn} questions stand there with different answers")
    if found.overlap >= NOTABLE_SHARE:
        yield Note(SEEN, f"{found.overlap:.1%} of the questions stand in train word for word ({_named(found.seen)})")
    if found.dropped:
        count = f"{len(found.dropped)} of {found.whole_rows + len(found.dropped)} rows of the split"
        yield Note(DROPPED, f"{count} have a missing value and are left out ({_named(found.dropped)})")
    if found.replaced:
        yield Note(REPLACED, f"{found.replaced} of {found.rows} rows stand among the shots; they are shown others")
    repeated = sum(not e.contexts and len(set(e.options)) < len(e.options) for e in examples)
    if repeated:
        yield Note(REPEATED, f"{repeated} of {found.rows} rows offer one option twice")
    if found.split not in ("train", "dev") and found.origin.split()[-1].startswith("train"):
        yield Note(ON_TRAIN, f"the rows are {found.origin}: whoever tunes or pre-trains on that set has seen them")


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (", …" if len(ids) > NAMED else "")


def _length_notes(task: Task, words: Sequence[int], shots: int, context: int) -> Iterator[Note]:
    answer = task.max_new_tokens if task.kind == "generation" else 0
    room = (context - answer) / TOKENS_A_WORD
    mean = float(np.mean(words))
    over = float(np.mean([own + shots * mean > room for own in words]))
    if over:
        yield Note(LONG, f"about {over:.1%} of the prompts with {shots} shots are longer than {context} tokens")
