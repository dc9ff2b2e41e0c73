"""How published checkpoints are named, and how a study names those that it wants.

Documented names of revisions, which name folders just as well:

    step1000                        Pythia (https://github.com/EleutherAI/pythia)
    step20000-tokens84B             OLMo (https://huggingface.co/allenai/OLMo-1B-hf)
    stage1-step1000-tokens3B        OLMo 2; stage2-ingredient1-step1000-tokens3B in its second stage
    step1000-seed-default           DataDecide
    step-00000700, checkpoint-700   amuro itself; the trainer of transformers

What a study writes is `ORG/NAME@TERM[,TERM…]`, and a term is one of

    main, step1000, …               a revision by its name; `-tokens…B` may be left out
    step[1000,2000]                 several steps; what stands around the brackets is repeated: step[1,2]-seed-default
    log8                            eight of the listed steps above 0, evenly spaced in log(step), the last among them
    all                             every listed step; log8 and all may be narrowed: stage1-log8, all-seed-default
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from amuro.core.errors import HubError, StudyError, nearest

_NAME = re.compile(
    r"(?:(?P<stage>stage\d+(?:-ingredient\d+)?)-)?(?:step|checkpoint)-?(?P<step>\d{1,15})"
    r"(?:-tokens(?P<tokens>\d{1,15})(?P<unit>[MBT]))?(?:-seed-(?P<seed>[\w-]+))?"
)
_BRACKETS = re.compile(r"(?P<before>[^\[\]]*)\[(?P<steps>[^\[\]]*)\](?P<after>[^\[\]]*)")
_LISTED = re.compile(
    r"(?:(?P<stage>stage\d+(?:-ingredient\d+)?)-)?(?:all|log(?P<count>\d{1,6}))(?:-seed-(?P<seed>[\w-]+))?"
)
_REPOSITORY = re.compile(r"(?!.*(?:--|\.\.|\.git$))\w[\w.-]*/\w[\w.-]*", re.ASCII)
_REFERENCE = re.compile(r"(?!.*\.\.)\w[\w./+-]*", re.ASCII)
_COMMA = re.compile(r",(?![^\[]*\])")
_UNITS = {"M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class Revision:
    """A name of a checkpoint, taken apart. `tokens` is what the name says, rounded as its publisher rounds it."""

    name: str
    step: int
    tokens: int | None = None
    stage: str = ""
    seed_name: str = ""

    @property
    def label(self) -> str:
        """The name without what follows from the rest: equal for every way to write the same revision."""
        stage = f"{self.stage}-" if self.stage else ""
        return f"{stage}step{self.step}" + (f"-seed-{self.seed_name}" if self.seed_name else "")


@dataclass(frozen=True, slots=True)
class Listed:
    """A choice among the revisions that a repository lists: `count` of them, log-spaced; 0 means every one."""

    count: int = 0
    stage: str = ""
    seed_name: str = ""


@dataclass(frozen=True, slots=True)
class RevisionSpec:
    """`ORG/NAME@…` taken apart: revisions named one by one, and choices that need the repository's list."""

    repository: str
    named: tuple[str, ...]
    listed: tuple[Listed, ...] = ()


def parse_revision(name: str) -> Revision | None:
    """The step (and tokens, stage, seed name) in a name, or None where it follows no documented pattern."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    tokens = int(found["tokens"]) * _UNITS[found["unit"]] if found["tokens"] else None
    return Revision(name, int(found["step"]), tokens, found["stage"] or "", found["seed"] or "")


def label(name: str) -> str:
    """`Revision.label` of a name, or the name itself where it follows no documented pattern."""
    revision = parse_revision(name)
    return revision.label if revision else name


def parse_revision_spec(text: str) -> RevisionSpec:
    """Takes `ORG/NAME[@TERM,…]` apart; without `@` the revision is `main`.

    Raises StudyError on a name without namespace, an empty term, unbalanced brackets, or a step that is no number.
    """
    repository, _, selection = text.strip().partition("@")
    if not _REPOSITORY.fullmatch(repository):
        raise StudyError(
            f"'{text}' names no model on the hub", "write ORG/NAME@REVISION, such as EleutherAI/pythia-160m@step1000"
        )
    terms = [term.strip() for term in _COMMA.split(selection)] if "@" in text else ["main"]
    listed = tuple(_listed(term) for term in terms if _LISTED.fullmatch(term))
    named = [name for term in terms if not _LISTED.fullmatch(term) for name in _expand(text, term)]
    return RevisionSpec(repository, tuple(dict.fromkeys(named)), listed)


def select(choice: Listed, names: Iterable[str], where: str) -> tuple[Revision, ...]:
    """The chosen ones of the listed names, by rising step; names without a step are left aside.

    Raises StudyError where nothing is left to choose from, or where several stages or seeds are mixed.
    """
    revisions = [revision for name in names if (revision := parse_revision(name))]
    for key in ("stage", "seed_name"):
        revisions = _narrow(revisions, key, getattr(choice, key), where)
    ordered = sorted(revisions, key=lambda revision: revision.step)
    return tuple(log_spaced(ordered, choice.count) if choice.count else ordered)


def log_spaced(revisions: list[Revision], count: int) -> list[Revision]:
    """Of revisions by rising step, those above step 0 that lie nearest to `count` points evenly spaced in log(step).

    Never one twice, and all of them where there are no more than `count`; the last is always among them.
    """
    left = [revision for revision in revisions if revision.step > 0]
    if len(left) <= count:
        return left
    low, high = math.log(left[0].step), math.log(left[-1].step)
    chosen = []
    for i in range(count):
        point = high - (high - low) * i / max(count - 1, 1)
        chosen.append(min(left, key=lambda revision: abs(math.log(revision.step) - point)))
        left.remove(chosen[-1])
    return sorted(chosen, key=lambda revision: revision.step)


def match(wanted: str, names: Iterable[str], where: str) -> str:
    """The listed name that `wanted` means: itself, else the one with the same label.

    Raises HubError with the nearest names where there is none, StudyError where there are several.
    """
    names = list(names)
    if wanted in names:
        return wanted
    same = [name for name in names if label(name) == label(_untold(wanted))]
    if len(same) > 1:
        raise StudyError(f"'{wanted}' fits several revisions of {where}", f"write one of: {', '.join(sorted(same))}")
    if not same:
        raise HubError(f"{where} has no revision '{wanted}'", nearest_revision(_untold(wanted), names))
    return same[0]


def _listed(term: str) -> Listed:
    found = _LISTED.fullmatch(term)
    assert found is not None
    count = int(found["count"]) if found["count"] else 0
    if found["count"] and count < 1:
        raise StudyError(f"'{term}' chooses no revision", "ask for at least one, such as log8")
    return Listed(count, found["stage"] or "", found["seed"] or "")


def _expand(text: str, term: str) -> list[str]:
    """The revisions that a term names: one, or one for each step in its brackets."""
    found = _BRACKETS.fullmatch(term)
    steps = [step.strip() for step in found["steps"].split(",")] if found else []
    for step in steps:
        if not re.fullmatch(r"\d{1,15}", step, re.ASCII):
            cure = "list whole numbers, such as step[1000,2000]; log8 and all choose among those that are published"
            raise StudyError(f"'{text}' has a step that is no number: '{step}'", cure)
    names = [f"{found['before']}{int(step)}{found['after']}" for step in steps] if found else [term]
    if not all(_REFERENCE.fullmatch(_untold(name)) for name in names):
        cure = "terms are parted by commas, such as step0,step[1000,2000],main"
        raise StudyError(f"'{text}' has a revision that cannot be read: '{term}'", cure)
    return [_untold(name) for name in names]


def _untold(name: str) -> str:
    """A name without the token count that the writer left open: `-tokens…B`, `-tokens*B`."""
    return re.sub(r"-tokens(?:…|\.\.\.|\*)[MBT]", "", name)


def _narrow(revisions: list[Revision], key: str, wanted: str, where: str) -> list[Revision]:
    found = sorted({getattr(revision, key) for revision in revisions})
    if not found:
        raise StudyError(f"{where} lists no revision with a step in its name", "name the revisions one by one")
    if not wanted and len(found) > 1:
        example = "stage1-log8" if key == "stage" else "log8-seed-default"
        names = ", ".join(name or "none" for name in found)
        raise StudyError(f"{where} has several runs ({names})", f"choose one, such as {example}")
    if wanted and wanted not in found:
        raise StudyError(f"{where} has no revisions of '{wanted}'", nearest(wanted, filter(None, found)))
    return [revision for revision in revisions if not wanted or getattr(revision, key) == wanted]


def nearest_revision(wanted: str, names: Iterable[str]) -> str:
    """A cure for an unknown revision: the listed ones with the nearest steps, else the likeliest name."""
    names = list(names)
    target = parse_revision(wanted)
    steps = [revision for name in names if (revision := parse_revision(name))]
    if not target or not steps:
        return nearest(wanted, names)
    steps.sort(key=lambda revision: (abs(revision.step - target.step), revision.name))
    return f"nearest: {', '.join(revision.name for revision in steps[:3])}"
