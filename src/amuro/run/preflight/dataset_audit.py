"""Audits an evaluation set before it is evaluated: labels, duplicates, and overlap with train.

Everything refers to the rows that the study evaluates: the first ones of the split, up to its limit.

| note | condition |
|---|---|
| constant gold | all gold answers are equal, as in a hidden test split. Refused |
| one-sided gold | one answer is gold in at least 90 % of the rows |
| gold by position | the gold option is at one place in more rows than chance and its noise explain |
| few clusters | fewer than 50 clusters: too few to support a claim |
| duplicates | at least 1 % of the rows repeat an earlier row |
| contradictions | the same question has two different answers |
| seen in training | at least 1 % of the questions are in train word for word |
| rows left out | a value is missing, and the study states missing = "drop" |
| shots replaced | rows that are among the shots; they get other shots |
| repeated options | rows that have the same option twice |
| scored on train | the split is the source's own train split |
| longer than the context | the expected length of some prompts with their shots exceeds the context |
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
"""Value of `normalize` → sentence."""
LEAST_CLUSTERS = 50
"""SCIENCE: fewest clusters of a set that can support a claim."""
ONE_SIDED_FROM = 0.9
"""Share of one answer from which the note is raised."""
NOTABLE_SHARE = 0.01
"""Share of rows from which duplicates and overlap are noted."""
NAMED = 3
"""Rows that a note names; `facts` lists more."""
LISTED = 50
"""Rows that `facts` lists."""
TOKENS_A_WORD = 1.4
"""Assumed for English prose under byte-level BPE with about 50,000 entries, without a tokenizer."""


@dataclass(frozen=True, slots=True)
class Note:
    """A warning about a set's scores. A refused set is not evaluated at all."""

    name: str
    detail: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class TaskAudit:
    """The facts of one evaluation set, as a study evaluates it."""

    task: str
    split: str
    origin: str
    """Source, and the name of the split in the source."""
    rows: int
    """Evaluated rows."""
    clusters: int
    """Clusters of the evaluated rows."""
    histogram: Mapping[str, float]
    """Share of each label, or of each place of the gold option; empty for generation."""
    chance: float | None
    duplicates: float
    """Share of the rows that repeat an earlier one."""
    overlap: float
    """Share of the rows whose question is in train word for word."""
    shared_clusters: float
    """Share of the clusters that are also in train."""
    normalize: str
    """The task's normalisation of texts."""
    mean_words: float
    """Words of prompt and answer in the default format without shots."""
    most_words: int
    """Their maximum."""
    constant: float | None
    """For generation: score of the constant answer that scores best on train; None if there is none."""
    notes: tuple[Note, ...]
    cluster: str
    """What rows of a cluster share, in words."""
    whole_rows: int
    """Rows of the whole split."""
    whole_clusters: int
    """Clusters of the whole split."""
    limit: int | None = None
    """Most rows that the study evaluates."""
    shots: int = 0
    """Largest number of shots in the study."""
    replaced: int = 0
    """Rows that are among the shots and get other shots."""
    dropped: tuple[str, ...] = ()
    """Ids of the rows left out because a value is missing."""
    doubles: tuple[str, ...] = ()
    """Ids of the evaluated rows that repeat an earlier one."""
    seen: tuple[str, ...] = ()
    """Ids of the evaluated rows whose question is in train."""

    @property
    def majority(self) -> float | None:
        """Accuracy of the most frequent label; None without labels."""
        return max(self.histogram.values(), default=None)

    def lines(self) -> Iterator[str]:
        """Yields every fact that is no warning, as a sentence."""
        rows = "all" if self.rows == self.whole_rows else f"the first {self.rows:,} of"
        limit = f" (limit {self.limit:,})" if self.limit else ""
        yield (f"evaluates {rows} {self.whole_rows:,} rows{limit} of {self.origin}, {self.clusters:,} of "
               f"{self.whole_clusters:,} clusters ({self.cluster}), with {self.shots} shots at most")  # fmt: skip
        yield f"in train as well: {self.overlap:.1%} of the questions, {self.shared_clusters:.1%} of the clusters"
        yield f"{self.duplicates:.1%} of the rows repeat an earlier one; the longest has {self.most_words:,} words"
        if self.normalize != "none":
            yield NORMALIZED[self.normalize]
        if self.histogram:
            yield "gold answers: " + ", ".join(f"{name} {share:.0%}" for name, share in self.histogram.items())

    def facts(self) -> dict[str, Any]:
        """Returns the audit as plain data, for the store."""
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
    """Audits the evaluated rows of a split against train (empty if there is none or it is not read). Raises nothing.

    `shots`: the study's largest number of shots. `context`: context length in tokens. `asked`: further fields of the
    audit about how the study evaluates the set; without them the rows count as the whole split.
    """
    questions = [render.question(example) for example in examples]
    train_questions, train_clusters = (
        {render.question(example) for example in train},
        {example.cluster for example in train},
    )
    clusters = {example.cluster for example in examples}
    words = [_words(task, example) for example in examples] or [0]
    first = {question: place for place, question in reversed(list(enumerate(questions)))}
    doubles = tuple(e.id for i, (e, q) in enumerate(zip(examples, questions, strict=True)) if first[q] < i)
    seen = tuple(e.id for e, q in zip(examples, questions, strict=True) if q in train_questions)
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
        shared_clusters=0.0 if alone else len(clusters & train_clusters) / max(len(clusters), 1),
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
    """Returns the number of words of prompt and answer in the default format."""
    if task.kind == "language_modeling":
        return len(example.answer.split())
    return len(f"{render.prompt(task, 'default', example)} {example.answer}".split())


def _chance(task: Task, examples: Sequence[Example]) -> float | None:
    """Returns the accuracy of guessing: 1 / labels, or the mean of 1 / options over the rows; None for other kinds."""
    if task.kind == "classification":
        return 1 / len(task.labels)
    return (
        float(np.mean([1 / len(example.options) for example in examples])) if task.kind == "multiple_choice" else None
    )


def _histogram(task: Task, examples: Sequence[Example]) -> dict[str, float]:
    """Returns the share of each label, or of each place of the gold option; {} for other kinds."""
    if task.kind == "classification":
        named = [example.answer for example in examples]
    elif task.kind == "multiple_choice":
        named = [f"option {render.gold(task, example) + 1}" for example in examples]
    else:
        return {}
    return {name: count / len(named) for name, count in sorted(Counter(named).items())}


def _gold_notes(task: Task, examples: Sequence[Example], facts: TaskAudit) -> Iterator[Note]:
    """Yields the notes on the distribution of the gold answers."""
    if task.kind == "language_modeling":
        return
    answers = Counter(example.answer for example in examples)
    [(answer, count)] = answers.most_common(1)
    if len(answers) == 1:
        part = facts.rows < facts.whole_rows
        cure = f", the first of {facts.whole_rows}: shuffle the rows, or raise the limit" if part else ""
        yield Note(CONSTANT, f"all {facts.rows} answers are {answer!r}{cure}", refused=not (task.hidden_gold or part))
    elif task.kind == "classification" and count / facts.rows >= ONE_SIDED_FROM:
        yield Note(ONE_SIDED, f"{answer!r} is right in {count / facts.rows:.0%} of the rows")
    if task.kind == "multiple_choice" and len(answers) > 1:
        likely = float(np.mean([1 / len(example.options) for example in examples]))
        place, share = max(facts.histogram.items(), key=lambda item: item[1])
        if share > likely + 4 * math.sqrt(likely * (1 - likely) / facts.rows):
            yield Note(POSITION, f"{place} is right in {share:.0%} of the rows; a guess would be {likely:.0%}")


def _row_notes(examples: Sequence[Example], facts: TaskAudit) -> Iterator[Note]:
    """Yields the notes on clusters, duplicates, overlap with train and rows left out."""
    if facts.clusters < LEAST_CLUSTERS:
        yield Note(FEW, f"{facts.clusters} clusters; a claim needs {LEAST_CLUSTERS}")
    if facts.duplicates >= NOTABLE_SHARE:
        yield Note(DUPLICATES, f"{facts.duplicates:.1%} of the rows repeat an earlier one ({_named(facts.doubles)})")
    answers: dict[Any, set[str]] = {}
    for example in examples:
        answers.setdefault(render.question(example), set()).add(example.answer)
    torn = sum(len(given) > 1 for given in answers.values())
    if torn and facts.histogram:
        yield Note(CONTRADICTIONS, f"{torn} questions occur with different answers")
    if facts.overlap >= NOTABLE_SHARE:
        yield Note(SEEN, f"{facts.overlap:.1%} of the questions are in train word for word ({_named(facts.seen)})")
    if facts.dropped:
        count = f"{len(facts.dropped)} of {facts.whole_rows + len(facts.dropped)} rows of the split"
        yield Note(DROPPED, f"{count} have a missing value and are left out ({_named(facts.dropped)})")
    if facts.replaced:
        yield Note(REPLACED, f"{facts.replaced} of {facts.rows} rows are among the shots; they get other shots")
    repeated = sum(not e.contexts and len(set(e.options)) < len(e.options) for e in examples)
    if repeated:
        yield Note(REPEATED, f"{repeated} of {facts.rows} rows offer one option twice")
    if facts.split not in ("train", "dev") and facts.origin.split()[-1].startswith("train"):
        yield Note(ON_TRAIN, f"the rows are {facts.origin}: whoever tunes or pre-trains on that set has seen them")


def _named(ids: Sequence[str]) -> str:
    """Returns the first ids as text."""
    return ", ".join(ids[:NAMED]) + (", …" if len(ids) > NAMED else "")


def _length_notes(task: Task, words: Sequence[int], shots: int, context: int) -> Iterator[Note]:
    """Yields the note on prompts that are longer than the context."""
    answer = task.max_new_tokens if task.kind == "generation" else 0
    room = (context - answer) / TOKENS_A_WORD
    mean = float(np.mean(words))
    over = float(np.mean([length + shots * mean > room for length in words]))
    if over:
        yield Note(LONG, f"about {over:.1%} of the prompts with {shots} shots are longer than {context} tokens")
