"""A series before a GPU hour: are its checkpoints what their names say?

From what its source records (no weights are fetched): the table of known-bad revisions, equal weights, shards that
belong to another step, holes in the grid, drift of configuration and tokenizer, a tokenizer that does not fit.
From weights that lie on this machine: equal weights in other files, norms and directions (`trajectory.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from amuro import catalog
from amuro.audits.drift import drift
from amuro.audits.fault import Fault, Level, place
from amuro.audits.grid import gaps
from amuro.audits.known_bad import known_bad, known_gaps
from amuro.audits.trajectory import Trajectory, direction_outliers, norm_outliers, trajectory
from amuro.errors import AmuroError, HubError
from amuro.identity import digest, weights_digests
from amuro.plan import Plan
from amuro.series_kind import UNKNOWN_STEP, Inspection, SeriesKind, equal_weights, training_flops, twin_error
from amuro.store import Store
from amuro.types import Checkpoint


@dataclass(frozen=True)
class Subject:
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

    subject: Subject
    faults: list[Fault] = field(default_factory=list)
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


def audit(subject: Subject, weights: bool = True) -> Audit:
    """The whole audit; without `weights`, only what needs no weights on this machine."""
    found = Audit(subject)
    found.faults += _known(subject)
    inspections = dict(_inspected(found))
    found.inspected = len(inspections)
    found.faults += _grid(found)
    found.faults += transplants(inspections, subject.allow_known_bad)
    found.faults += _drift(found, inspections)
    twins = list(_twins(inspections))
    if weights:
        twins += _weigh(found)
    if not subject.allow_duplicates:
        found.faults += {twin.checkpoint: twin for twin in twins}.values()
    return found


def of_study(plan: Plan, name: str, cache: Path) -> Subject:
    """A series of a study, with the checkpoints that the study means. `cache`: the store's folder for series."""
    series = plan.study.series[name]
    return Subject(
        name,
        catalog.series(series.kind),
        plan.series_options(name),
        tuple(checkpoint for checkpoint in plan.checkpoints if checkpoint.series == name),
        cache,
        series.allow_duplicates,
        series.allow_known_bad,
    )


def keep(found: Audit, store: Store) -> None:
    """Commits an audit to the store; nothing where there was nothing to look at (series without weights)."""
    if found.inspected or found.faults:
        store.commit("audits", digest(found.facts()), found.facts(), {})


def faults_of(plan: Plan, store: Store) -> list[Fault]:
    """What is known without a network of the series of a study: what its last audit found, else the table."""
    subjects = [of_study(plan, name, store.root / "series") for name in plan.study.series]
    return [fault for subject in subjects for fault in _kept(store, subject) or _known(subject)]


def _known(subject: Subject) -> list[Fault]:
    bad = known_bad(subject.checkpoints, subject.allow_known_bad, subject.allow_duplicates)
    return [*bad, *known_gaps(subject.checkpoints)]


def _kept(store: Store, subject: Subject) -> list[Fault]:
    own = [_described(checkpoint) for checkpoint in subject.checkpoints]
    audits = [m for m in store.manifests("audits") if m["audit"] == "series"]
    audits = [m for m in audits if m["checkpoints"] == own and m["allows"] == _allows(subject)]
    last = max(audits, key=lambda manifest: manifest["created_ns"], default=None)
    return [Fault(**fault) for fault in last["faults"]] if last else []


def transplants(inspections: Mapping[Checkpoint, Inspection], allow: bool = False) -> Iterator[Fault]:
    """Shards that checkpoints with different weights share. The last checkpoint of a series is taken to be right:
    it is the one that everybody loads.
    """
    owners: dict[tuple[str, str], list[Checkpoint]] = {}
    for checkpoint, inspection in inspections.items():
        for shard, content in inspection.shards.items():
            owners.setdefault((shard, content), []).append(checkpoint)
    last = max(inspections, key=lambda checkpoint: checkpoint.step, default=None)
    for (shard, _), sharing in owners.items():
        if len({inspections[checkpoint].weights for checkpoint in sharing}) > 1:
            yield from _transplant(shard, sharing, last, allow)


def _transplant(shard: str, sharing: Sequence[Checkpoint], last: Checkpoint | None, allow: bool) -> Iterator[Fault]:
    for checkpoint in sharing:
        others = ", ".join(place(other) for other in sharing if other != checkpoint)
        detail = f"{shard} of {place(checkpoint)} is also that of {others}"
        if checkpoint != last:
            cure = "" if allow else "leave it out, or set allow_known_bad = true in its [series] table"
            level: Level = "doubtful" if allow else "refused"
            yield Fault("transplanted shard", level, detail, cure, checkpoint.address)


def _inspected(found: Audit) -> Iterator[tuple[Checkpoint, Inspection]]:
    subject = found.subject
    for checkpoint in subject.checkpoints:
        try:
            inspection = subject.kind.inspect(checkpoint, subject.cache)
        except AmuroError as error:
            found.faults.append(Fault("unreadable", "refused", error.message, error.cure, checkpoint.address))
            continue
        if inspection:
            yield checkpoint, inspection
        else:
            found.unchecked.append(f"{place(checkpoint)}: its source records nothing of its files")


def _grid(found: Audit) -> Iterator[Fault]:
    subject = found.subject
    steps = [checkpoint.step for checkpoint in subject.checkpoints if checkpoint.step != UNKNOWN_STEP]
    try:
        grid = subject.kind.grid(subject.name, subject.options, subject.checkpoints)
    except HubError as error:
        found.unchecked.append(f"the list of published steps: {error.message}")
        return
    yield from gaps(steps, grid)


def _drift(found: Audit, inspections: Mapping[Checkpoint, Inspection]) -> list[Fault]:
    try:
        return list(drift(found.subject.kind, inspections))
    except AmuroError as error:  # such as a gated repository, which tells of its files and does not serve them
        return [Fault("unreadable", "doubtful", error.message, error.cure)]


def _twins(inspections: Mapping[Checkpoint, Inspection]) -> Iterator[Fault]:
    for first, *others in equal_weights(inspections):
        for other in others:
            error = twin_error(other.address, first.address)
            yield Fault("equal weights", "refused", error.message, error.cure, other.address)


# -- weights at hand


def _weigh(found: Audit) -> Iterator[Fault]:
    """Looks along the weights that lie here; gives equal ones back, though they be in files of other bytes."""
    subject = found.subject
    places = {c: folder for c in subject.checkpoints if (folder := subject.kind.at_hand(c, subject.cache))}
    missing = len(subject.checkpoints) - len(places)
    if missing:
        found.unchecked.append(f"norms and directions of {missing} checkpoints: their weights are not on this machine")
    if not places:
        return
    path = trajectory(list(places.values()))
    found.faults += _along(list(places), path)
    found.weights += _table(list(places), path)
    digests = {c: weights_digests(folder, subject.cache / "digests.json") for c, folder in places.items()}
    yield from _twins({c: Inspection(whole, shards, {}) for c, (whole, shards) in digests.items()})


def _along(checkpoints: Sequence[Checkpoint], path: Trajectory) -> Iterator[Fault]:
    finite = np.isfinite(np.diag(path.gram))
    for checkpoint, others, sound in zip(checkpoints, path.others, finite, strict=True):
        if not sound:
            detail = f"the weights of {place(checkpoint)} hold NaN or infinity"
            yield Fault("not finite", "refused", detail, "fetch or save them again", checkpoint.address)
        if others:
            detail = (
                f"{place(checkpoint)} differs from most in the shape or presence of {len(others)} tensors, first of "
            )
            detail += others[0]
            yield Fault("other tensors", "doubtful", detail, "compare their configurations", checkpoint.address)
    kept = [i for i, sound in enumerate(finite) if sound and checkpoints[i].step != UNKNOWN_STEP]
    steps, norms = [checkpoints[i].step for i in kept], path.norms[kept]
    for i in norm_outliers(steps, norms):
        detail = f"the norm of {place(checkpoints[kept[i]])} is {norms[i]:.4g}, of its neighbours "
        detail += f"{norms[i - 1]:.4g} and {norms[i + 1]:.4g}"
        yield Fault("norm outlier", "doubtful", detail, _LOOK, checkpoints[kept[i]].address)
    cosines = path.cosines[np.ix_(kept, kept)]
    for i in direction_outliers(cosines):
        detail = f"the weights of {place(checkpoints[kept[i]])} point away from those of its neighbours: cosines "
        detail += f"{cosines[i - 1, i]:.3f} and {cosines[i, i + 1]:.3f}, while theirs is {cosines[i - 1, i + 1]:.3f}"
        yield Fault("direction outlier", "doubtful", detail, _LOOK, checkpoints[kept[i]].address)


_LOOK = "look at it before you trust its scores"


def _table(checkpoints: Sequence[Checkpoint], path: Trajectory) -> Iterator[dict[str, Any]]:
    for i, checkpoint in enumerate(checkpoints):
        sound = bool(np.isfinite(path.gram[i, i]))
        cosine = float(path.cosines[i - 1, i]) if i and sound else float("nan")
        yield {
            "checkpoint": checkpoint.address,
            "step": checkpoint.step,
            "norm": float(path.norms[i]) if sound else None,
            "cosine_to_previous": cosine if np.isfinite(cosine) else None,
        }


def _allows(subject: Subject) -> dict[str, bool]:
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
