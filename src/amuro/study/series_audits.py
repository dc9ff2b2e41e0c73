"""Audit of a series before any GPU time is spent: are the checkpoints what their names say?

From what the source records, without weights: known-bad revisions, equal weights, shards copied from another step,
gaps in the steps, drift of configuration and tokenizer, a tokenizer that does not fit. From small files on this
machine: tokenizers that cannot be loaded, files that disagree about begin and end tokens. From weights on this
machine: equal weights in other files, norms and update directions (`series/_audit/weight_norms.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from amuro.core.errors import AmuroError, HubError
from amuro.core.hashing import digest
from amuro.core.types import Checkpoint
from amuro.series import load_series_kind
from amuro.series._audit.drift import drift
from amuro.series._audit.issue import AuditIssue, place
from amuro.series._audit.known_bad import known_bad, known_gaps
from amuro.series._audit.shards import copied_shards, twins
from amuro.series._audit.steps import gaps
from amuro.series._audit.weights import along
from amuro.series.base import UNKNOWN_STEP, Inspection, SeriesKind, training_flops
from amuro.study.plan import Plan
from amuro.study.store import Manifest, Store
from amuro.study.tokenizer_audit import endings


@dataclass(frozen=True)
class AuditTarget:
    """A series as a study declares it."""

    name: str
    kind: SeriesKind
    options: Mapping[str, Any]
    checkpoints: tuple[Checkpoint, ...]
    """Sorted by step."""
    cache: Path
    """The store's folder for series that amuro pre-trains."""
    allow_duplicates: bool = False
    allow_known_bad: bool = False


@dataclass
class Audit:
    """The result of one audit."""

    subject: AuditTarget
    faults: list[AuditIssue] = field(default_factory=list)
    """Every issue, in the order of the checks."""
    inspected: int = 0
    """Number of checkpoints of which anything is known without their weights."""
    weights: list[dict[str, Any]] = field(default_factory=list)
    """One entry per checkpoint on this machine: its norm, and the cosine between its update and the one before."""
    unchecked: list[str] = field(default_factory=list)
    """What could not be checked, and why."""

    def refused(self) -> dict[Checkpoint, str]:
        """Returns the checkpoints that a run leaves out, with the reason."""
        by_address = {checkpoint.address: checkpoint for checkpoint in self.subject.checkpoints}
        reasons = {fault.checkpoint: str(fault) for fault in reversed(self.faults) if fault.level == "refused"}
        return {checkpoint: reasons[address] for address, checkpoint in by_address.items() if address in reasons}

    def facts(self) -> dict[str, Any]:
        """Returns the audit as plain data, the manifest that the store keeps."""
        return {
            "audit": "series",
            "series": self.subject.name,
            "kind": self.subject.kind.name,
            "allows": _allows(self.subject),
            "checkpoints": [_described(checkpoint) for checkpoint in self.subject.checkpoints],
            "faults": [asdict(fault) for fault in self.faults],
            "inspected": self.inspected,
            "weights": self.weights,
            "unchecked": self.unchecked,
        }


def audit(subject: AuditTarget, weights: bool = True) -> Audit:
    """Audits a series. `weights`: whether weights on this machine are read as well."""
    result = Audit(subject)
    result.faults += [*_known(subject), *endings(_at_hand(subject))]
    inspections = dict(_inspected(result))
    result.inspected = len(inspections)
    if result.inspected:
        result.faults += _grid(result)
    unknown = len(subject.checkpoints) - len(inspections)
    if unknown:
        result.unchecked.append(
            f"the files of {unknown} checkpoints: nothing is recorded of them, or the hub is silent"
        )
    result.faults += copied_shards(inspections, subject.allow_known_bad)
    broken = result.refused()
    result.faults += _drift(result, {c: known for c, known in inspections.items() if c not in broken})
    equal = list(twins(inspections))
    if weights:
        equal += _along(result)
    if not subject.allow_duplicates:
        result.faults += {fault.checkpoint: fault for fault in equal}.values()
    return result


def of_study(plan: Plan, name: str, cache: Path) -> AuditTarget:
    """Returns a series of a study with its planned checkpoints. `cache`: the store's folder for series."""
    series = plan.study.series[name]
    return AuditTarget(
        name,
        load_series_kind(series.kind),
        plan.series_options(name),
        tuple(checkpoint for checkpoint in plan.checkpoints if checkpoint.series == name),
        cache,
        series.allow_duplicates,
        series.allow_known_bad,
    )


def keep(result: Audit, store: Store) -> None:
    """Commits an audit to the store, unless nothing could be checked (series without weights)."""
    if result.inspected or result.faults or result.weights:
        facts = result.facts()
        store.commit("audits", digest(facts), facts, {})


def faults_of(plan: Plan, store: Store) -> list[AuditIssue]:
    """Returns the issues of a study's series that are known without a network: from the table of known-bad revisions,
    the small files on this machine and the last stored audits. Each issue occurs once.
    """
    subjects = [of_study(plan, name, store.root / "series") for name in plan.study.series]
    faults = (
        fault
        for subject in subjects
        for fault in (*_known(subject), *endings(_at_hand(subject)), *_kept(store, subject))
    )
    return list(dict.fromkeys(faults))


def _at_hand(subject: AuditTarget) -> dict[Checkpoint, Path]:
    """Returns the folders of the target's checkpoints that are on this machine."""
    folders = {c: subject.kind.at_hand(c, subject.cache) for c in subject.checkpoints}
    return {checkpoint: folder for checkpoint, folder in folders.items() if folder}


def _known(subject: AuditTarget) -> list[AuditIssue]:
    """Returns the issues known without any file: known-bad revisions, known gaps, and what the series kind leaves
    out.
    """
    bad = known_bad(subject.checkpoints, subject.allow_known_bad, subject.allow_duplicates)
    left = [AuditIssue("left out", "note", text) for text in subject.kind.left_out(subject.name, subject.options)]
    return [*bad, *known_gaps(subject.checkpoints), *left]


def last_kept(store: Store, subject: AuditTarget) -> Manifest | None:
    """Returns the last stored audit of exactly these checkpoints with the same permissions, or None."""
    described = [_described(checkpoint) for checkpoint in subject.checkpoints]
    audits = [m for m in store.manifests("audits") if m["audit"] == "series"]
    audits = [m for m in audits if m["checkpoints"] == described and m["allows"] == _allows(subject)]
    return max(audits, key=lambda manifest: manifest["created_ns"], default=None)


def _kept(store: Store, subject: AuditTarget) -> list[AuditIssue]:
    """Returns the issues of the last stored audit of the target."""
    last = last_kept(store, subject)
    return [AuditIssue(**fault) for fault in last["faults"]] if last else []


def _inspected(result: Audit) -> Iterator[tuple[Checkpoint, Inspection]]:
    """Yields each checkpoint of which something is recorded, with it; adds an issue if that cannot be read."""
    subject = result.subject
    for checkpoint in subject.checkpoints:
        try:
            inspection = subject.kind.inspect(checkpoint, subject.cache)
        except AmuroError as error:
            result.faults.append(AuditIssue("unreadable", "refused", error.message, error.cure, checkpoint.address))
            continue
        if inspection:
            yield checkpoint, inspection


def _grid(result: Audit) -> Iterator[AuditIssue]:
    """Yields the gaps of the checkpoints' steps against the published steps; says so if the hub cannot be reached."""
    subject = result.subject
    steps = [checkpoint.step for checkpoint in subject.checkpoints if checkpoint.step != UNKNOWN_STEP]
    try:
        grid = subject.kind.grid(subject.name, subject.options, subject.checkpoints)
    except HubError as error:
        result.unchecked.append(f"the list of published steps: {error.message}")
        return
    yield from gaps(steps, grid)


def _drift(result: Audit, inspections: Mapping[Checkpoint, Inspection]) -> list[AuditIssue]:
    """Returns the differences of configuration and tokenizer between checkpoints."""
    try:
        return list(drift(result.subject.kind, inspections))
    except AmuroError as error:  # such as a gated repository, which tells of its files and does not serve them
        return [AuditIssue("unreadable", "doubtful", error.message, error.cure)]


def _along(result: Audit) -> tuple[AuditIssue, ...]:
    """Compares the weights on this machine from step to step; returns the issues of equal weights."""
    subject = result.subject
    folders = _at_hand(subject)
    missing = len(subject.checkpoints) - len(folders)
    if missing:
        result.unchecked.append(f"norms and directions of {missing} checkpoints: their weights are not on this machine")
    if not folders:
        return ()
    comparison = along(folders, memo=subject.cache / "digests.json")
    result.faults += comparison.faults
    result.weights += comparison.rows
    return comparison.twins


def _allows(subject: AuditTarget) -> dict[str, bool]:
    """Returns the permissions of the target: they are part of what an audit is matched by."""
    return {"duplicates": subject.allow_duplicates, "known_bad": subject.allow_known_bad}


def _described(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the facts of a checkpoint that an audit records and is matched by."""
    return {
        "checkpoint": checkpoint.address,
        "step": checkpoint.step,
        "tokens": checkpoint.tokens,
        "flops": training_flops(checkpoint),
        "parameters": checkpoint.parameters,
        "bytes": checkpoint.bytes,
        "place": place(checkpoint),
    }
