"""Series whose checkpoints are revisions of a hub repository: what all such kinds share.

`series/hub.py` reads any repository; the named kinds (`series/pythia.py`, …) read one published run whose facts they
state. Tokens follow from the step if the run is known or `tokens_per_step` is given; otherwise from the revision's
name, rounded as its publisher rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from amuro.core import hub
from amuro.core.errors import HubError, SeriesError, StudyError
from amuro.core.hashing import digest
from amuro.core.revisions import RevisionSpec, label, match, parse_revision, parse_revision_spec, select
from amuro.core.types import Checkpoint
from amuro.core.weights import check_folder, check_vocabulary
from amuro.series._published_run import CHOICE, PublishedRun, model
from amuro.series.base import (
    COURSE_OPTIONS,
    UNKNOWN_STEP,
    Grid,
    Inspection,
    Option,
    SeriesKind,
    TokenSchedule,
    course_options,
    in_order,
    known_options,
    token_schedule,
    whole,
)

_KNOWN = "as published, where it is known"
OPTIONS = {
    "step_of": Option("table of revision = whole number ≥ 0", "Steps of revisions whose names do not tell them.", "{}"),
    "tokens_of": Option("table of revision = whole number ≥ 0", "Training tokens that revisions have seen.", "{}"),
    "parameters": Option("whole number ≥ 1", "Numbers in the weights, embeddings included.", _KNOWN),
    "lock": Option(
        "table", "Commits of the revisions, as the lock file beside the study keeps them; not for a study's text."
    ),
    **course_options(**dict.fromkeys(COURSE_OPTIONS, _KNOWN)),
}
"""Keys that every hub kind reads, besides those that choose revisions."""


def checkpoints(name: str, run: PublishedRun, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """Returns the checkpoints that the option `model` names.

    Uses the network only for `logN` and `all` without a `lock`. Raises StudyError on bad options, HubError if the hub
    is needed and does not answer, SeriesError on a step that occurs twice or is unknown among several.
    """
    spec = parse_revision_spec(options["model"])
    table = _table(name, run, options)
    return in_order(name, _told(name, [table.checkpoint(revision) for revision in _names(name, spec, table, options)]))


def locate(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """Returns the folder of the weights in the hub client's own cache (HF_HOME, not `cache`), downloaded if needed.

    Raises HubError and WeightsError as `hub.fetch`, `check_folder` and `check_vocabulary` do.
    """
    return check_vocabulary(check_folder(hub.fetch(*address(checkpoint))))


def at_hand(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """Returns the folder of the weights if the client's cache has all of them. Uses no network."""
    return hub.at_hand(*address(checkpoint))


def inspect(checkpoint: Checkpoint, cache: Path) -> Inspection | None:
    """Returns the sha256 of the weights files and the ids of the small files, as the hub records them; downloads
    nothing.

    Raises HubError and WeightsError as `hub.records` does.
    """
    known = hub.records(*address(checkpoint))
    return Inspection(digest(sorted(known[0].values())), *known) if known else None


def document(checkpoint: Checkpoint, name: str) -> Path | None:
    """Returns a small file of the revision, downloaded if needed; None if it does not exist. Raises HubError."""
    return hub.document(*address(checkpoint), name)


def lock(name: str, run: PublishedRun, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the commit of each revision: from the option `lock`, else as the hub has it now.

    A repository that was renamed keeps its name, with the present one as `moved_to`. Raises HubError on a revision
    that does not exist, and the errors of `checkpoints`.
    """
    addresses = [address(checkpoint) for checkpoint in checkpoints(name, run, options)]
    repository = addresses[0][0]
    before = _locked(name, options)
    if before.get("model") == options["model"]:
        return dict(before)
    listed = hub.revisions(repository)
    commits: dict[str, str] = {}
    for _, revision, commit in addresses:
        exact = revision if commit else match(revision, listed, repository)
        commits[exact] = commit or listed[exact]
    today = hub.find(repository, next(iter(commits))).repository
    moved = {} if today == repository else {"moved_to": today}
    return {"model": options["model"], "repository": repository, **moved, "revisions": commits}


def grid(run: PublishedRun, found: tuple[Checkpoint, ...]) -> Grid:
    """Returns the steps that the repository lists today, of the stages and seeds in `found`, and the documented
    steps.

    Raises HubError if the hub does not answer.
    """
    revisions = [parse_revision(address(checkpoint)[1]) for checkpoint in found]
    runs = {(r.stage, r.seed_name) for r in revisions if r} or {(run.stage, "")}
    listed = [parse_revision(name) for name in hub.revisions(run.repository)]
    steps = {r.step for r in listed if r and (r.stage, r.seed_name) in runs}
    return Grid(tuple(sorted(steps)), run.steps)


def named(
    kind: str,
    description: str,
    pick: Callable[[str, Mapping[str, Any]], PublishedRun],
    at: str,
    keys: Mapping[str, Option] = MappingProxyType({}),
) -> SeriesKind:
    """Returns the series kind of published runs.

    `pick`: returns the run that a study's table means; the table may have `keys`. `at`: the checkpoints that are
    meant if the table names none.
    """
    known = {**keys, **CHOICE, "at": replace(CHOICE["at"], default=f'"{at}"'), **OPTIONS}

    def read(name: str, options: Mapping[str, Any]) -> tuple[PublishedRun, dict[str, Any]]:
        known_options(name, options, known)
        run = pick(name, options)
        others = {key: value for key, value in options.items() if key in OPTIONS}
        return run, {"model": model(name, run, options, at), **others}

    return kind_of(kind, description, read, known)


def kind_of(
    kind: str,
    description: str,
    read: Callable[[str, Mapping[str, Any]], tuple[PublishedRun, Mapping[str, Any]]],
    options: Mapping[str, Option],
) -> SeriesKind:
    """Returns a series kind on the hub.

    `read`: (name, the study's table) → what is known of the run, and the table with `model`. `options`: the keys of
    that table.
    """
    return SeriesKind(
        kind,
        description,
        checkpoints=lambda name, options: checkpoints(name, *read(name, options)),
        locate=locate,
        lock=lambda name, options: lock(name, *read(name, options)),
        inspect=inspect,
        document=document,
        at_hand=at_hand,
        grid=lambda name, options, found: grid(read(name, options)[0], found),
        options=options,
    )


def address(checkpoint: Checkpoint) -> tuple[str, str, str | None]:
    """Returns repository, revision, and commit or None if it is not pinned."""
    revision, _, commit = (checkpoint.revision or "main").partition("@")
    return checkpoint.source.removeprefix("hub:"), revision, commit or None


@dataclass(frozen=True, slots=True)
class _Table:
    """The options of one series, parsed."""

    name: str
    run: PublishedRun
    way: TokenSchedule
    steps: Mapping[str, int]
    tokens: Mapping[str, int]
    parameters: int | None
    pins: Mapping[str, str]
    """Revision → commit, from the lock; empty without one."""

    def checkpoint(self, revision: str) -> Checkpoint:
        """Returns the checkpoint of a revision."""
        parsed = parse_revision(revision)
        step = self.steps.get(revision, self.run.step(parsed) if parsed else UNKNOWN_STEP)
        tokens = self.tokens.get(revision, self.way.tokens(step, parsed.tokens if parsed else None))
        source = f"hub:{self.run.repository}"
        return Checkpoint(
            series=self.name,
            step=step,
            tokens=tokens,
            unique_tokens=self.run.unique(self.way, step, tokens),
            schedule=self.run.state(self.way, step),
            source=source,
            revision=f"{revision}@{self.pins[revision]}" if revision in self.pins else revision,
            identity=digest({"source": source, "revision": label(revision)}),
            parameters=self.parameters,
            bytes=self.run.bytes,
        )


def _table(name: str, run: PublishedRun, options: Mapping[str, Any]) -> _Table:
    """Parses the options of a series. Raises StudyError on a bad value."""
    parameters = options.get("parameters", run.parameters)
    main_tokens = {} if run.main_tokens is None else {"main": run.main_tokens}
    return _Table(
        name,
        run,
        token_schedule(name, options, run.token_schedule),
        steps={"main": run.main_step, **_counts(name, "step_of", options)},
        tokens={**main_tokens, **_counts(name, "tokens_of", options)},
        parameters=None if parameters is None else whole(name, "parameters", parameters, least=1),
        pins=_pins(name, run.repository, options),
    )


def _counts(name: str, key: str, options: Mapping[str, Any]) -> dict[str, int]:
    """Returns the table revision → whole number of an option."""
    table = options.get(key, {})
    if not isinstance(table, Mapping):
        raise StudyError(f"{key} of series '{name}' is {table!r}", f"give a table: {key} = {{main = 738020}}")
    return {revision: whole(name, key, value) for revision, value in table.items()}


def _pins(name: str, repository: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Returns revision → commit of the lock. Raises StudyError if the lock is of another repository."""
    locked = _locked(name, options)
    if locked and locked.get("repository") != repository:
        cure = "delete that part of the lock file, and it is written again"
        raise StudyError(f"the lock of series '{name}' is of {locked.get('repository')}, not {repository}", cure)
    return dict(locked.get("revisions", {}))


def _locked(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the option `lock`, {} without one. Raises StudyError if it is not valid."""
    locked = options.get("lock") or {}
    pins = locked.get("revisions", {}) if isinstance(locked, Mapping) else None
    if not isinstance(pins, Mapping) or not all(isinstance(commit, str) for commit in pins.values()):
        raise StudyError(f"the lock of series '{name}' is no lock", "delete the lock file, and it is written again")
    return dict(locked)


def _names(name: str, spec: RevisionSpec, table: _Table, options: Mapping[str, Any]) -> list[str]:
    """Returns the revisions that are meant: those of the lock, if it was made for the same `model`."""
    if table.pins and options["lock"].get("model") == options["model"]:
        return list(table.pins)
    listed = _list(name, spec) if spec.listed else {}
    chosen = [revision.name for choice in spec.listed for revision in select(choice, listed, spec.repository)]
    pinned = {label(revision): revision for revision in table.pins}
    named = [pinned.get(label(revision), revision) for revision in spec.named]
    return list(dict.fromkeys([*named, *chosen]))


def _list(name: str, spec: RevisionSpec) -> Mapping[str, str]:
    """Returns revision → commit of a repository. Raises HubError if the hub does not answer."""
    try:
        return hub.revisions(spec.repository)
    except hub.UnreachableError as error:
        cure = "name the steps one by one, or plan once with a network: the lock file beside the study remembers them"
        raise HubError(f"series '{name}' chooses among revisions, and the hub does not answer", cure) from error


def _told(name: str, checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """Returns the checkpoints. Raises SeriesError if a step is unknown among several."""
    for checkpoint in checkpoints:
        if checkpoint.step == UNKNOWN_STEP and len(checkpoints) > 1:
            revision = address(checkpoint)[1]
            cure = f'state it: step_of = {{"{revision}" = …}}'
            raise SeriesError(f"the step of {revision} in series '{name}' is unknown", cure)
    return checkpoints
