"""How the right answers themselves score, cut as outputs are cut: what no model can do better.

A right answer that stops at its first line, is longer than the limit of new tokens, or holds no word that the metric
reads scores less than a perfect one, and a finding on it would be about the ruler.
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
"""Share of right answers with the worst score from which a set is refused: what is left is no measurement of it."""
NAMED = 3
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Short:
    """A right answer that does not get the best score."""

    example_id: str
    score: float
    worst: bool
    cause: str
    cure: str


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the right answers of a set score."""

    metric: str
    rows: int
    short: tuple[Short, ...]

    @property
    def refused(self) -> bool:
        """Whether most right answers have the worst score."""
        return sum(one.worst for one in self.short) > REFUSED_FROM * self.rows

    def __str__(self) -> str:
        """How many fall short, of what, and the first of them by id."""
        [((cause, _), _)] = self._causes().most_common(1)
        which = ", ".join(f"{one.example_id} ({one.score:.2f})" for one in self.short[:NAMED])
        more = ", …" if len(self.short) > NAMED else ""
        return (
            f"{len(self.short)} of {self.rows} right answers do not get the best score of {self.metric} themselves: "
            f"{cause}; {which}{more}"
        )

    @property
    def cure(self) -> str:
        """What mends most of them."""
        [((_, cure), _)] = self._causes().most_common(1)
        return cure

    def _causes(self) -> Counter[tuple[str, str]]:
        return Counter((one.cause, one.cure) for one in self.short)


def ceiling(task: Task, format_name: str, examples: Sequence[Example], encoder: Encoder | None = None) -> Ceiling:
    """Scores each right answer of a task of written text as a model's output; other tasks have nothing to cut.

    Without an encoder the limit of new tokens cannot be seen. A metric without a common range has no best score.
    """
    metric = load_metric(task.metric)
    if task.kind != "generation" or metric.best is None or not examples:
        return Ceiling(task.metric, len(examples), ())
    whole = [render.answer(task, example.answer) for example in examples]
    ids = encoder.answers([render.prompt(task, format_name, e) for e in examples], whole) if encoder else None
    written = whole if task.encoding == "whole_text" else [f" {text}" for text in whole]
    back = [encoder.decode(own[: task.max_new_tokens]) for own in ids] if encoder and ids else written
    said = [_stopped(task, text) for text in back]
    values, plain = (_scores(task, examples, texts) for texts in (said, written))
    short = [
        Short(example.id, value, metric.oriented(value) <= ROUNDING, *_cause(task, own, text, score))
        for example, text, value, own, score in zip(
            examples, whole, values, [len(own) for own in ids] if ids else [0] * len(whole),
            [metric.best - score for score in plain], strict=True,
        )
        if abs(value - metric.best) > ROUNDING
    ]  # fmt: skip
    return Ceiling(task.metric, len(examples), tuple(short))


def _stopped(task: Task, text: str) -> str:
    """The text up to the first stop string, as generation leaves it."""
    return text[: min((text.index(stop) for stop in task.stop if stop in text), default=len(text))]


def _scores(task: Task, examples: Sequence[Example], outputs: Sequence[str]) -> list[float]:
    """The task's metric on outputs that a model is sure of."""
    metric = load_metric(task.metric)
    return metric.values(constant_answers.written(examples, outputs), constant_answers.context(task)).to_list()


def _cause(task: Task, tokens: int, text: str, lacking: float) -> tuple[str, str]:
    """(why a right answer falls short, cure)."""
    if abs(lacking) > ROUNDING:
        return f"{task.metric} does not give it to the very words", "name another metric for the task"
    if stop := next((stop for stop in task.stop if stop in text), None):
        return f"they are cut at the stop string {stop!r}", f"say stop = [...] without {stop!r} for the task"
    if tokens > task.max_new_tokens:
        return f"they are cut after max_new_tokens = {task.max_new_tokens}", "raise max_new_tokens for the task"
    return "the tokenizer gives other words back", "see whether it lower-cases, or drops letters that it does not know"


def refuse(chosen: EvalSet, found: Ceiling) -> None:
    """Raises DataError where most right answers of a set have the worst score."""
    if found.refused:
        raise DataError(f"{chosen}: {found}", found.cure)


def encoders(plan: Plan, cache: Path) -> tuple[Encoder | None, ...]:
    """The different tokenizers of the checkpoints that lie on this machine; nothing is fetched. None stands for one
    that is not here, under which the limit of new tokens cannot be seen.
    """
    found: dict[str, Encoder] = {}
    for name, series in plan.study.series.items():
        first = next(one for one in plan.checkpoints if one.series == name)
        folder = load_series_kind(series.kind).at_hand(first, cache)
        if folder is not None and plan.study.engine != "toy":
            encoder = Encoder.from_folder(folder)
            found.setdefault(encoder.digest, encoder)
    return tuple(found.values()) or (None,)


def lowest(plan: Plan, chosen: EvalSet, examples: Sequence[Example], known: Sequence[Encoder | None]) -> Ceiling:
    """The lowest ceiling of a set over the formats and tokenizers in which a study asks it, on the rows asked."""
    asked = [cell for cell in plan.cells if cell.eval_set == chosen]
    rows = examples[: max((cell.limit for cell in asked), default=0)]
    task, formats = plan.tasks[chosen.task], dict.fromkeys(cell.format for cell in asked)
    every = [ceiling(task, name, rows, encoder) for name in formats for encoder in known]
    return max(every, key=lambda one: len(one.short))


def check(plan: Plan, cells: Sequence[Cell], cache: Path) -> None:
    """Raises DataError where most right answers of a set that these cells ask have the worst score. The paper's own
    protocol asks what it asked.
    """
    sets = dict.fromkeys(cell.eval_set for cell in cells if plan.tasks[cell.eval_set.task].kind == "generation")
    known = encoders(plan, cache) if sets and plan.study.protocol != "paper" else ()
    for chosen in sets if known else ():
        most = max(cell.limit for cell in plan.cells if cell.eval_set == chosen)
        task, revision = plan.task_with_source(chosen.task), plan.revision(chosen.task)
        refuse(chosen, lowest(plan, chosen, sources.examples(task, chosen.split, revision, limit=most), known))
