"""Checkpoints that a hub repository keeps as revisions.

    [series.pythia]
    kind = "hub"
    model = "EleutherAI/pythia-160m@step0,step[1000,2000],log8"      # revisions.py explains the terms
    # optional: tokens_per_step, corpus_tokens, warmup_steps, schedule; step_of and tokens_of by revision,
    # such as step_of = {main = 738020}

Tokens follow from the step where the run is known here or `tokens_per_step` is told; else from the revision's name,
rounded as its publisher rounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amuro import hub_client
from amuro.errors import HubError, SeriesError, StudyError
from amuro.identity import digest
from amuro.revisions import Spec, label, match, parse_revision, parse_spec, select
from amuro.series_kind import COURSE_OPTIONS, UNKNOWN_STEP, Course, SeriesKind, course, in_order, known_options, whole
from amuro.types import Checkpoint
from amuro.weights import check_folder

_RUNS: tuple[tuple[str, Course, int], ...] = (
    # All sizes: 143,000 steps of 2,097,152 tokens, 1.5 passes over 207 billion deduplicated tokens or just under one
    # over the whole Pile (README of EleutherAI/pythia); warm-up over 1 %, cosine decay (arXiv 2304.01373).
    (r"EleutherAI/pythia-\w[\w.]*-deduped", Course(2_097_152, 207_000_000_000, 1_430, "decay"), 143_000),
    (r"EleutherAI/pythia-\w[\w.]*", Course(2_097_152, 300_000_000_000, 1_430, "decay"), 143_000),
    # 2048 sequences of 2048 tokens, warm-up 2,000, cosine decay (allenai/OLMo, configs/official/OLMo-1B.yaml);
    # main is step 738,020, the last row of that repository's list of checkpoints.
    (r"allenai/OLMo-1B(-hf)?", Course(4_194_304, None, 2_000, "decay"), 738_020),
)
"""Pattern of the repository, what is known of its run, and the step that its `main` holds."""


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """The checkpoints that `model` names. The hub is asked only for `log8` and `all`, and only without a `lock`.

    Raises StudyError on bad options, HubError where the hub is needed and does not answer, SeriesError on a step that
    stands twice or is unknown beside others.
    """
    known_options(name, options, ("model", "step_of", "tokens_of", "lock", *COURSE_OPTIONS))
    spec = _spec(name, options)
    known, main_step = _run(spec.repository)
    way = course(name, options, known)
    steps = {"main": main_step, **_counts(name, "step_of", options)}
    tokens = _counts(name, "tokens_of", options)
    pins = _pins(name, spec, options)
    found = [
        _checkpoint(name, spec, revision, steps, tokens, way, pins) for revision in _names(name, spec, options, pins)
    ]
    return in_order(name, _told(name, found))


def locate(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """The folder of its weights in the hub client's own cache (HF_HOME, not `cache`), downloaded if need be.

    Raises HubError and WeightsError, as `hub_client.fetch` and `check_folder` do.
    """
    return check_folder(hub_client.fetch(*_address(checkpoint)))


def fingerprint(checkpoint: Checkpoint, cache: Path) -> str | None:
    """The digest of the sha256 of its weights files, which the hub records: nothing is downloaded."""
    hashes = hub_client.weights_sha256(*_address(checkpoint))
    return digest(hashes) if hashes else None


def lock(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The commit of each revision: as in the `lock` among the options, else as the hub has it now.

    A repository that has moved is named as before and, as `moved_to`, as today. Raises HubError on a revision that is
    not there, and what `checkpoints` raises.
    """
    found = [_address(checkpoint) for checkpoint in checkpoints(name, options)]
    repository = found[0][0]
    before = options.get("lock") or {}
    if before.get("model") == options["model"]:
        return dict(before)
    listed = hub_client.revisions(repository)
    commits: dict[str, str] = {}
    for _, revision, commit in found:
        exact = revision if commit else match(revision, listed, repository)
        commits[exact] = commit or listed[exact]
    today = hub_client.find(repository, next(iter(commits))).repository
    moved = {} if today == repository else {"moved_to": today}
    return {"model": options["model"], "repository": repository, **moved, "revisions": commits}


def _spec(name: str, options: Mapping[str, Any]) -> Spec:
    if not isinstance(options.get("model"), str):
        raise StudyError(f"series '{name}' names no model", 'say which: model = "ORG/NAME@REVISION"')
    return parse_spec(options["model"])


def _run(repository: str) -> tuple[Course, int]:
    for pattern, known, main_step in _RUNS:
        if re.fullmatch(pattern, repository):
            return known, main_step
    return Course(), UNKNOWN_STEP


def _counts(name: str, key: str, options: Mapping[str, Any]) -> dict[str, int]:
    table = options.get(key, {})
    if not isinstance(table, Mapping):
        raise StudyError(f"{key} of series '{name}' is {table!r}", f"give a table: {key} = {{main = 738020}}")
    return {revision: whole(name, key, value) for revision, value in table.items()}


def _pins(name: str, spec: Spec, options: Mapping[str, Any]) -> dict[str, str]:
    """Revision → commit, from the lock; empty without one."""
    locked = options.get("lock") or {}
    if locked and locked.get("repository") != spec.repository:
        cure = "delete that part of the lock file, and it is written anew"
        raise StudyError(f"the lock of series '{name}' is of {locked.get('repository')}, not {spec.repository}", cure)
    return dict(locked.get("revisions", {}))


def _names(name: str, spec: Spec, options: Mapping[str, Any], pins: Mapping[str, str]) -> list[str]:
    """The revisions that are meant: those of the lock, if it was made for the same `model`."""
    if pins and options["lock"].get("model") == options["model"]:
        return list(pins)
    listed = _list(name, spec) if spec.listed else {}
    chosen = [revision.name for choice in spec.listed for revision in select(choice, listed, spec.repository)]
    pinned = {label(revision): revision for revision in pins}
    named = [pinned.get(label(revision), revision) for revision in spec.named]
    return list(dict.fromkeys([*named, *chosen]))


def _list(name: str, spec: Spec) -> Mapping[str, str]:
    try:
        return hub_client.revisions(spec.repository)
    except hub_client.UnreachableError as error:
        cure = "name the steps one by one, or plan once with a network: the lock file beside the study remembers them"
        raise HubError(f"series '{name}' chooses among revisions, and the hub does not answer", cure) from error


def _checkpoint(
    name: str,
    spec: Spec,
    revision: str,
    steps: Mapping[str, int],
    tokens_of: Mapping[str, int],
    way: Course,
    pins: Mapping[str, str],
) -> Checkpoint:
    parsed = parse_revision(revision)
    step = steps.get(revision, parsed.step if parsed else UNKNOWN_STEP)
    tokens = tokens_of.get(revision, way.tokens(step, parsed.tokens if parsed else None))
    return Checkpoint(
        series=name,
        step=step,
        tokens=tokens,
        unique_tokens=way.unique(tokens),
        schedule=way.state(step),
        source=f"hub:{spec.repository}",
        revision=f"{revision}@{pins[revision]}" if revision in pins else revision,
        identity=digest({"source": f"hub:{spec.repository}", "revision": label(revision)}),
    )


def _told(name: str, found: list[Checkpoint]) -> list[Checkpoint]:
    for checkpoint in found:
        if checkpoint.step == UNKNOWN_STEP and len(found) > 1:
            revision = _address(checkpoint)[1]
            cure = f'state it: step_of = {{"{revision}" = …}}'
            raise SeriesError(f"the step of {revision} in series '{name}' is unknown", cure)
    return found


def _address(checkpoint: Checkpoint) -> tuple[str, str, str | None]:
    """Repository, revision, and commit where it is pinned."""
    revision, _, commit = (checkpoint.revision or "main").partition("@")
    return checkpoint.source.removeprefix("hub:"), revision, commit or None


SERIES = SeriesKind("hub", "revisions of a model on the hub", checkpoints, locate, fingerprint, lock)
