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

from collections.abc import Iterable, Mapping
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
    # All sizes: 143,000 steps of 2,097,152 tokens, warm-up over 1 %, cosine decay (arXiv 2304.01373, appendix).
    ("EleutherAI/pythia-", Course(2_097_152, None, 1_430, "decay"), 143_000),
    # 2048 sequences of 2048 tokens, warm-up 2,000, cosine decay (allenai/OLMo, configs/official/OLMo-1B.yaml);
    # main is step 738,020, the last row of that repository's list of checkpoints.
    ("allenai/OLMo-1B-hf", Course(4_194_304, None, 2_000, "decay"), 738_020),
)
"""Prefix of the repository, what is known of its run, and the step that its `main` holds."""


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """The checkpoints that `model` names. The hub is asked only for `log8` and `all`, and only without a `lock`.

    Raises StudyError on bad options, HubError where the hub is needed and does not answer, SeriesError on a step that
    stands twice or is unknown beside others.
    """
    known_options(name, options, ("model", "step_of", "tokens_of", "lock", *COURSE_OPTIONS))
    if not isinstance(options.get("model"), str):
        raise StudyError(f"series '{name}' names no model", 'say which: model = "ORG/NAME@REVISION"')
    spec = parse_spec(options["model"])
    known, main_step = _run(spec.repository)
    way = course(name, options, known)
    steps = {"main": main_step, **_counts(name, "step_of", options)}
    tokens = _counts(name, "tokens_of", options)
    commits = _commits(name, spec, options)
    names = _names(name, spec, commits)
    return in_order(name, _told(name, [_checkpoint(name, spec, n, steps, tokens, way, commits) for n in names]))


def locate(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """The folder of its weights in the hub client's own cache (HF_HOME, not `cache`), downloaded if need be.

    Raises HubError and WeightsError, as `hub_client.fetch` and `check_folder` do.
    """
    return check_folder(hub_client.fetch(*_address(checkpoint)))


def fingerprint(checkpoint: Checkpoint, cache: Path) -> str | None:
    """The digest of the sha256 of its weights files, which the hub records: nothing is downloaded."""
    hashes = hub_client.weights_sha256(*_address(checkpoint))
    return digest(hashes) if hashes else None


def lock(checkpoints: Iterable[Checkpoint]) -> Mapping[str, Any]:
    """The commit of each revision as the hub has it now, and the name that a moved repository has.

    Raises HubError on a revision that is not there.
    """
    checkpoints = list(checkpoints)
    repository = _address(checkpoints[0])[0]
    listed = hub_client.revisions(repository)
    names = [match(_address(checkpoint)[1], listed, where=repository) for checkpoint in checkpoints]
    today = hub_client.find(repository, names[0]).repository
    moved = {} if today == repository else {"moved_to": today}
    return {"repository": repository, **moved, "revisions": {name: listed[name] for name in names}}


def _run(repository: str) -> tuple[Course, int]:
    for prefix, known, main_step in _RUNS:
        if repository.startswith(prefix):
            return known, main_step
    return Course(), UNKNOWN_STEP


def _counts(name: str, key: str, options: Mapping[str, Any]) -> dict[str, int]:
    table = options.get(key, {})
    if not isinstance(table, Mapping):
        raise StudyError(f"{key} of series '{name}' is {table!r}", f"give a table: {key} = {{main = 738020}}")
    return {revision: whole(name, key, value) for revision, value in table.items()}


def _commits(name: str, spec: Spec, options: Mapping[str, Any]) -> dict[str, str]:
    """Revision → commit, from the lock; empty without one."""
    locked = options.get("lock") or {}
    if locked and locked.get("repository") != spec.repository:
        cure = "delete that part of the lock file, and it is written anew"
        raise StudyError(f"the lock of series '{name}' is of {locked.get('repository')}, not {spec.repository}", cure)
    return dict(locked.get("revisions", {}))


def _names(name: str, spec: Spec, commits: Mapping[str, str]) -> list[str]:
    listed = commits or (_list(name, spec) if spec.listed else {})
    chosen = [revision.name for choice in spec.listed for revision in select(choice, listed, spec.repository)]
    named = [match(revision, listed, spec.repository) if listed else revision for revision in spec.named]
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
    commits: Mapping[str, str],
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
        revision=f"{revision}@{commits[revision]}" if revision in commits else revision,
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
