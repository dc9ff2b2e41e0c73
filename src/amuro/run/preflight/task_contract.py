"""The contract of tasks, run by `amuro check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amuro.core import registry
from amuro.core.errors import AmuroError, StudyError
from amuro.core.types import Task
from amuro.data import sources
from amuro.prompts import render
from amuro.tasks.metrics import load_metric

MIN_CLUSTERS = 50
"""Clusters below which a test split is too small to support a claim."""


def check(task: Task) -> Iterator[str]:
    """Checks that a task's facts fit each other, that it renders in every format and that its rows load if they are
    here.

    Yields one line per passed check. Raises StudyError or DataError at the first fault.
    """
    yield from _facts(task)
    yield from _words(task, registry.names("formats"))
    if task.paper is not None:
        yield from (f"as the paper put it, {line}" for line in _facts(task.paper))
        yield from (f"as the paper put it, {line}" for line in _words(task.paper, tuple(task.paper.templates)))
    for split in task.splits:
        yield _rows(task, split)


def _facts(task: Task) -> Iterator[str]:
    """Checks kind, metric, labels, chance and size of a task."""
    if not task.fields:
        raise StudyError(f"task {task.name} words no field", cure="list (key, label) pairs in `fields`")
    kinds = load_metric(task.metric).kinds
    if task.kind not in kinds:
        raise StudyError(f"metric {task.metric} judges {', '.join(kinds)}, task {task.name} is {task.kind}",
                         cure="choose another metric")  # fmt: skip
    if task.kind == "classification":
        if len(set(task.labels)) < 2:
            raise StudyError(f"task {task.name} has the labels {task.labels}", cure="a label task has two or more")
        if task.chance is None or abs(task.chance - 1 / len(task.labels)) > 1e-9:
            raise StudyError(f"task {task.name} states chance {task.chance}", cure=f"1/{len(task.labels)}")
    unknown = set(task.size.rows) - set(task.splits) if task.size else set()
    if unknown:
        raise StudyError(f"the size of task {task.name} counts {', '.join(sorted(unknown))}, which it has not",
                         cure=f"its splits: {', '.join(task.splits)}")  # fmt: skip
    yield f"kind {task.kind}, metric {task.metric}, chance {task.chance}"


def _words(task: Task, formats: Sequence[str]) -> Iterator[str]:
    """Checks that every field appears in every format."""
    for name in formats:
        text = render.template(task, name)
        for key, _ in task.fields:
            if f"<{key}>" not in text:
                raise StudyError(f"format {name} does not show field {key} of {task.name}", cure="mend its wording")
        yield f"{name}: {text!r}"


def _rows(task: Task, split: str) -> str:
    """Loads a split; a hub source that cannot be loaded here is no fault."""
    revision = "0" if task.source.startswith("world:") else None
    try:
        examples = sources.examples(task, split, revision)
    except AmuroError as error:
        if task.source.startswith("hub:"):
            return f"{split}: not loaded here: {error}"
        raise
    clusters = len({e.cluster for e in examples})
    few = " (fewer than a claim may rest on)" if clusters < MIN_CLUSTERS and split.startswith("test") else ""
    return f"{split}: {len(examples)} rows in {clusters} clusters{few}"
