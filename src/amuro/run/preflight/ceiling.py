"""Scores the gold answers themselves, cut like outputs: the ceiling of what a model can score.

A gold answer that contains a stop string, is longer than max_new_tokens or has no word that the metric counts scores
less than the best value; findings on such a set would measure the cutting, not the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amuro.core.errors import DataError
from amuro.core.types import Cell, EvalSet, Example, Task
from amuro.data import sources
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.run.preflight import constant_answers
from amuro.series import load_series_kind
from amuro.study.plan import Plan
from amuro.tasks.metrics import load_metric

REFUSED_FROM = 0.5
"""A set is refused if more than this share of gold answers has the worst score."""
NAMED = 3
"""Examples that a sentence names."""
ROUNDING = 1e-9
"""Differences below this are rounding."""


@dataclass(frozen=True, slots=True)
class Short:
    """A gold answer that does not get the best score."""

    example_id: str
    score: float
    worst: bool
    cause: str
    cure: str


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The scores of a set's gold answers."""

    metric: str
    rows: int
    short: tuple[Short, ...]

    @property
    def refused(self) -> bool:
        """Whether most gold answers have the worst score."""
        return sum(answer.worst for answer in self.short) > REFUSED_FROM * self.rows

    def __str__(self) -> str:
        """How many fall short, of what, and the first of them by id."""
        [((cause, _), _)] = self._causes().most_common(1)
        which = ", ".join(f"{answer.example_id} ({answer.score:.2f})" for answer in self.short[:NAMED])
        more = ", …" if len(self.short) > NAMED else ""
        return (
            f"{len(self.short)} of {self.rows} right answers do not get the best score of {self.metric} themselves: "
            f"{cause}; {which}{more}"
        )

    @property
    def cure(self) -> str:
        """The cure for the most frequent cause."""
        [((_, cure), _)] = self._causes().most_common(1)
        return cure

    def _causes(self) -> Counter[tuple[str, str]]:
        """Counts (cause, cure)."""
        return Counter((answer.cause, answer.cure) for answer in self.short)


def ceiling(task: Task, format_name: str, examples: Sequence[Example], encoder: Encoder | None = None) -> Ceiling:
    """Scores each gold answer of a generation task as a model's output; other tasks have nothing to cut.

    Without an encoder the limit of new tokens is not checked. A metric without a best value has no ceiling.
    """
    metric = load_metric(task.metric)
    if task.kind != "generation" or metric.best is None or not examples:
        return Ceiling(task.metric, len(examples), ())
    answers = [render.answer(task, example.answer) for example in examples]
    ids = encoder.answers([render.prompt(task, format_name, e) for e in examples], answers) if encoder else None
    written = answers if task.encoding == "whole_text" else [f" {text}" for text in answers]
    decoded = [encoder.decode(answer_ids[: task.max_new_tokens]) for answer_ids in ids] if encoder and ids else written
    outputs = [_stopped(task, text) for text in decoded]
    values, plain = (_scores(task, examples, texts) for texts in (outputs, written))
    short = [
        Short(example.id, value, metric.oriented(value) <= ROUNDING, *_cause(task, answer_ids, text, score))
        for example, text, value, answer_ids, score in zip(
            examples, answers, values, [len(answer_ids) for answer_ids in ids] if ids else [0] * len(answers),
            [metric.best - score for score in plain], strict=True,
        )
        if abs(value - metric.best) > ROUNDING
    ]  # fmt: skip
    return Ceiling(task.metric, len(examples), tuple(short))


def _stopped(task: Task, text: str) -> str:
    """Returns the text up to the first stop string, as generation does."""
    return text[: min((text.index(stop) for stop in task.stop if stop in text), default=len(text))]


def _scores(task: Task, examples: Sequence[Example], outputs: Sequence[str]) -> list[float]:
    """Returns the task's metric per example, for outputs that a model is certain of."""
    metric = load_metric(task.metric)
    return metric.values(constant_answers.written(examples, outputs), constant_answers.context(task)).to_list()


def _cause(task: Task, tokens: int, text: str, lacking: float) -> tuple[str, str]:
    """Returns (why a gold answer falls short, cure)."""
    if abs(lacking) > ROUNDING:
        return f"{task.metric} does not give it to the very words", "name another metric for the task"
    if stop := next((stop for stop in task.stop if stop in text), None):
        return f"they are cut at the stop string {stop!r}", f"say stop = [...] without {stop!r} for the task"
    if tokens > task.max_new_tokens:
        return f"they are cut after max_new_tokens = {task.max_new_tokens}", "raise max_new_tokens for the task"
    return "the tokenizer gives other words back", "see whether it lower-cases, or drops letters that it does not know"


def refuse(chosen: EvalSet, found: Ceiling) -> None:
    """Raises DataError if most gold answers of a set have the worst score."""
    if found.refused:
        raise DataError(f"{chosen}: {found}", found.cure)


def encoders(plan: Plan, cache: Path) -> tuple[Encoder | None, ...]:
    """Returns the different tokenizers of the series' first checkpoints on this machine; nothing is fetched.

    (None,) if there are none: the limit of new tokens is not checked then.
    """
    encoders_by_digest: dict[str, Encoder] = {}
    for name, series in plan.study.series.items():
        first = next(checkpoint for checkpoint in plan.checkpoints if checkpoint.series == name)
        folder = load_series_kind(series.kind).at_hand(first, cache)
        if folder is not None and plan.study.engine != "toy":
            encoder = Encoder.from_folder(folder)
            encoders_by_digest.setdefault(encoder.digest, encoder)
    return tuple(encoders_by_digest.values()) or (None,)


def lowest(plan: Plan, chosen: EvalSet, examples: Sequence[Example], known: Sequence[Encoder | None]) -> Ceiling:
    """Returns the lowest ceiling of a set over the formats and tokenizers of a study, on the evaluated rows."""
    cells = [cell for cell in plan.cells if cell.eval_set == chosen]
    rows = examples[: max((cell.limit for cell in cells), default=0)]
    task, formats = plan.tasks[chosen.task], dict.fromkeys(cell.format for cell in cells)
    ceilings = [ceiling(task, name, rows, encoder) for name in formats for encoder in known]
    return max(ceilings, key=lambda found: len(found.short))


def check(plan: Plan, cells: Sequence[Cell], cache: Path) -> None:
    """Raises DataError if most gold answers of an evaluated set have the worst score. The paper's protocol is not
    checked.
    """
    sets = dict.fromkeys(cell.eval_set for cell in cells if plan.tasks[cell.eval_set.task].kind == "generation")
    known = encoders(plan, cache) if sets and plan.study.protocol != "paper" else ()
    for chosen in sets if known else ():
        most = max(cell.limit for cell in plan.cells if cell.eval_set == chosen)
        task, revision = plan.task_with_source(chosen.task), plan.revision(chosen.task)
        refuse(chosen, lowest(plan, chosen, sources.examples(task, chosen.split, revision, limit=most), known))
