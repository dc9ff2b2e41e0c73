"""A series before a GPU hour: are its checkpoints what their names say?

From what its source records (no weights are fetched): the table of known-bad revisions, equal weights, shards that
belong to another step, holes in the grid, drift of configuration and tokenizer, a tokenizer that does not fit.
From small files on this machine: a tokenizer that cannot be read, files that disagree about the ends of a text.
From weights that lie on this machine: equal weights in other files, norms and directions
(`series/_audit/weight_norms.py`).
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
from amuro.series._audit.shards import transplants, twins
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
    """By rising step."""
    cache: Path
    allow_duplicates: bool = False
    allow_known_bad: bool = False


@dataclass
class Audit:
    """What was looked at, and what was found."""

    subject: AuditTarget
    faults: list[AuditIssue] = field(default_factory=list)
    inspected: int = 0
    """Checkpoints of which something is known without their weights."""
    weights: list[dict[str, Any]] = field(default_factory=list)
    """For each checkpoint at hand: its norm, and the cosine to the one before."""
    unchecked: list[str] = field(default_factory=list)
    """What could not be looked at, and why."""

    def refused(self) -> dict[Checkpoint, str]:
        """Checkpoints that a run leaves out → why."""
        by_address = {checkpoint.address: checkpoint for checkpoint in self.subject.checkpoints}
        reasons = {fault.checkpoint: str(fault) for fault in reversed(self.faults) if fault.level == "refused"}
        return {checkpoint: reasons[address] for address, checkpoint in by_address.items() if address in reasons}

    def facts(self) -> dict[str, Any]:
        """The audit as plain data, as the store keeps it."""
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
    """The whole audit; without `weights`, only what needs no weights on this machine."""
    found = Audit(subject)
    found.faults += [*_known(subject), *endings(_at_hand(subject))]
    inspections = dict(_inspected(found))
    found.inspected = len(inspections)
    if found.inspected:
        found.faults += _grid(found)
    unknown = len(subject.checkpoints) - len(inspections)
    if unknown:
        found.unchecked.append(f"the files of {unknown} checkpoints: nothing is recorded of them, or the hub is silent")
    found.faults += transplants(inspections, subject.allow_known_bad)
    broken = found.refused()
    found.faults += _drift(found, {c: known for c, known in inspections.items() if c not in broken})
    equal = list(twins(inspections))
    if weights:
        equal += _along(found)
    if not subject.allow_duplicates:
        found.faults += {fault.checkpoint: fault for fault in equal}.values()
    return found


def of_study(plan: Plan, name: str, cache: Path) -> AuditTarget:
    """A series of a study, with the checkpoints that the study means. `cache`: the store's folder for series."""
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


def keep(found: Audit, store: Store) -> None:
    """Commits an audit to the store; nothing where there was nothing to look at (series without weights)."""
    if found.inspected or found.faults or found.weights:
        facts = found.facts()
        store.commit("audits", digest(facts), facts, {})


def faults_of(plan: Plan, store: Store) -> list[AuditIssue]:
    """What is known without a network of the series of a study: from the table, and from their last audits."""
    subjects = [of_study(plan, name, store.root / "series") for name in plan.study.series]
    faults = (
        fault
        for subject in subjects
        for fault in (*_known(subject), *endings(_at_hand(subject)), *_kept(store, subject))
    )
    return list(dict.fromkeys(faults))


def _at_hand(subject: AuditTarget) -> dict[Checkpoint, Path]:
    """The folders of its checkpoints that lie on this machine."""
    found = {c: subject.kind.at_hand(c, subject.cache) for c in subject.checkpoints}
    return {checkpoint: folder for checkpoint, folder in found.items() if folder}


def _known(subject: AuditTarget) -> list[AuditIssue]:
    bad = known_bad(subject.checkpoints, subject.allow_known_bad, subject.allow_duplicates)
    left = [AuditIssue("left out", "note", text) for text in subject.kind.left_out(subject.name, subject.options)]
    return [*bad, *known_gaps(subject.checkpoints), *left]


def last_kept(store: Store, subject: AuditTarget) -> Manifest | None:
    """The last stored audit of these very checkpoints under these permissions."""
    own = [_described(checkpoint) for checkpoint in subject.checkpoints]
    audits = [m for m in store.manifests("audits") if m["audit"] == "series"]
    audits = [m for m in audits if m["checkpoints"] == own and m["allows"] == _allows(subject)]
    return max(audits, key=lambda manifest: manifest["created_ns"], default=None)


def _kept(store: Store, subject: AuditTarget) -> list[AuditIssue]:
    last = last_kept(store, subject)
    return [AuditIssue(**fault) for fault in last["faults"]] if last else []


def _inspected(found: Audit) -> Iterator[tuple[Checkpoint, Inspection]]:
    subject = found.subject
    for checkpoint in subject.checkpoints:
        try:
            inspection = subject.kind.inspect(checkpoint, subject.cache)
        except AmuroError as error:
            found.faults.append(AuditIssue("unreadable", "refused", error.message, error.cure, checkpoint.address))
            continue
        if inspection:
            yield checkpoint, inspection


def _grid(found: Audit) -> Iterator[AuditIssue]:
    subject = found.subject
    steps = [checkpoint.step for checkpoint in subject.checkpoints if checkpoint.step != UNKNOWN_STEP]
    try:
        grid = subject.kind.grid(subject.name, subject.options, subject.checkpoints)
    except HubError as error:
        found.unchecked.append(f"the list of published steps: {error.message}")
        return
    yield from gaps(steps, grid)


def _drift(found: Audit, inspections: Mapping[Checkpoint, Inspection]) -> list[AuditIssue]:
    try:
        return list(drift(found.subject.kind, inspections))
    except AmuroError as error:  # such as a gated repository, which tells of its files and does not serve them
        return [AuditIssue("unreadable", "doubtful", error.message, error.cure)]


def _along(found: Audit) -> tuple[AuditIssue, ...]:
    """Looks along the weights that lie here; gives back which of them are equal."""
    subject = found.subject
    folders = _at_hand(subject)
    missing = len(subject.checkpoints) - len(folders)
    if missing:
        found.unchecked.append(f"norms and directions of {missing} checkpoints: their weights are not on this machine")
    if not folders:
        return ()
    way = along(folders, memo=subject.cache / "digests.json")
    found.faults += way.faults
    found.weights += way.rows
    return way.twins


def _allows(subject: AuditTarget) -> dict[str, bool]:
    return {"duplicates": subject.allow_duplicates, "known_bad": subject.allow_known_bad}


def _described(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "checkpoint": checkpoint.address,
        "step": checkpoint.step,
        "tokens": checkpoint.tokens,
        "flops": training_flops(checkpoint),
        "parameters": checkpoint.parameters,
        "bytes": checkpoint.bytes,
        "place": place(checkpoint),
    }
