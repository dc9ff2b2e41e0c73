"""The facts of a published pre-training run, and which of its documented checkpoints a study means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amuro.core.errors import StudyError
from amuro.core.revisions import Revision, nearest_revision, parse_revision, parse_revision_spec, select
from amuro.series.base import UNKNOWN_STEP, Option, TokenSchedule, wholes

CHOICE = {
    "at": Option(
        "text", "Checkpoints that are meant: revisions, `logN` or `all`, with commas between (docs/series.md)."
    ),
    "steps": Option("list of whole numbers ≥ 0, or one alone", "The same as documented steps; in place of `at`."),
}
"""Keys of a named series that choose checkpoints: one of them, or neither for the default."""


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """The facts of one run. Their sources are in the file of `series/` that states it."""

    repository: str
    token_schedule: TokenSchedule = field(default_factory=TokenSchedule)
    main_step: int = UNKNOWN_STEP
    """The step of the revision `main`."""
    main_tokens: int | None = None
    """Training tokens of `main`, if they do not follow from its step."""
    parameters: int | None = None
    """All weights, embeddings included."""
    bytes_per_parameter: int | None = None
    """4 for float32, 2 for bfloat16 and float16, as published."""
    steps: tuple[int, ...] = ()
    """The documented steps, rising; empty if there is no list."""
    stage: str = ""
    """The stage that `steps` belong to: the beginning of its revisions' names."""
    steps_before: Mapping[str, int] = field(default_factory=dict)
    """Stage → steps before it: a later stage counts from 0 again, on another corpus."""
    annealed_step: int | None = None
    """The step at which the learning rate had reached its end."""

    @property
    def names(self) -> tuple[str, ...]:
        """The documented steps as revisions, without their token counts."""
        return tuple(Revision("", step, stage=self.stage).label for step in self.steps)

    @property
    def bytes(self) -> int | None:
        """Size of the weights of one checkpoint as published; None if unknown."""
        if self.parameters is None or self.bytes_per_parameter is None:
            return None
        return self.parameters * self.bytes_per_parameter

    def step(self, revision: Revision) -> int:
        """Returns the steps since the start of the whole run."""
        return self.steps_before.get(revision.stage, 0) + revision.step

    def unique(self, token_schedule: TokenSchedule, step: int, tokens: int | None) -> int | None:
        """Returns the tokens seen at least once; None in a later stage, whose corpus `token_schedule` does not
        describe.
        """
        return None if self.steps_before and step > self.steps[-1] else token_schedule.unique(tokens)

    def state(self, token_schedule: TokenSchedule, step: int) -> str:
        """Returns the state of the learning-rate schedule at a step."""
        return "annealed" if step == self.annealed_step else token_schedule.state(step)


def model(name: str, run: PublishedRun, options: Mapping[str, Any], default: str) -> str:
    """Returns `ORG/NAME@REVISION,…` of a named series, from the options `at` (see `core/revisions.py`) or `steps`.

    `logN` and `all` choose among the documented steps, so no network is needed. Raises StudyError if both keys are
    given, and on a step that is not documented, with the nearest one.
    """
    spec = parse_revision_spec(f"{run.repository}@{_text(name, run, options, default)}")
    # `main` holds the last of the documented steps: log8,main means seven others beside it.
    main_steps = {run.main_step} if "main" in spec.named else set()
    listed = [revision for choice in spec.listed for revision in select(choice, run.names, run.repository)]
    chosen = [revision.name for revision in listed if revision.step not in main_steps]
    for revision in spec.named:
        _refuse_undocumented(name, run, revision)
    return f"{run.repository}@{','.join(dict.fromkeys([*spec.named, *chosen]))}"


def _text(name: str, run: PublishedRun, options: Mapping[str, Any], default: str) -> str:
    """Returns the revisions that the options name, as text."""
    if {"at", "steps"} <= options.keys():
        raise StudyError(f"series '{name}' has both at and steps", "keep one of them")
    if "steps" not in options:
        return _at(name, options.get("at", default))
    steps = wholes(name, "steps", options["steps"])
    if not steps:
        raise StudyError(f"steps of series '{name}' is empty", 'give a list of whole numbers, or at = "log8"')
    return ",".join(Revision("", step, stage=run.stage).label for step in steps)


def _at(name: str, value: Any) -> str:
    """Returns the option `at`. Raises StudyError if it is not text."""
    if not isinstance(value, str):
        raise StudyError(f"at of series '{name}' is {value!r}", 'give text such as "log8", or a list of steps')
    return value


def _refuse_undocumented(name: str, run: PublishedRun, revision: str) -> None:
    """Raises StudyError if a revision is not among the documented ones of a run with a list."""
    parsed = parse_revision(revision)
    if not run.steps and revision != "main":
        cure = 'leave at and steps out, or name another revision with kind = "hub"'
        raise StudyError(f"series '{name}' has no '{revision}': {run.repository} publishes its last weights only", cure)
    if parsed and parsed.stage == run.stage and parsed.step not in run.steps:
        cure = f'{nearest_revision(revision, run.names)}; a revision that is not documented needs kind = "hub"'
        raise StudyError(f"'{revision}' is no documented checkpoint of {run.repository} (series '{name}')", cure)
