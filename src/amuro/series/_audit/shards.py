"""Audits by digests of weights: checkpoints that are equal, and shards copied from another checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from amuro.core.types import Checkpoint
from amuro.series._audit.issue import AuditIssue, Level, place
from amuro.series.base import Inspection, equal_weights, twin_error


def twins(inspections: Mapping[Checkpoint, Inspection]) -> Iterator[AuditIssue]:
    """Yields an issue for all but the earliest of each group of checkpoints with equal weights."""
    for first, *others in equal_weights(inspections):
        for other in others:
            error = twin_error(other.address, first.address)
            yield AuditIssue("equal weights", "refused", error.message, error.cure, other.address)


def copied_shards(inspections: Mapping[Checkpoint, Inspection], allow: bool = False) -> Iterator[AuditIssue]:
    """Yields an issue for each shard that checkpoints with different weights share.

    The last checkpoint of a series is assumed to be right: it is the one that is loaded most.
    """
    owners: dict[tuple[str, str], list[Checkpoint]] = {}
    for checkpoint, inspection in inspections.items():
        for shard, content in inspection.shards.items():
            owners.setdefault((shard, content), []).append(checkpoint)
    last = max(inspections, key=lambda checkpoint: checkpoint.step, default=None)
    for (shard, _), sharing in owners.items():
        if len({inspections[checkpoint].weights for checkpoint in sharing}) > 1:
            yield from _copied_shard(shard, sharing, last, allow)


def _copied_shard(
    shard: str, sharing: Sequence[Checkpoint], last: Checkpoint | None, allow: bool
) -> Iterator[AuditIssue]:
    """Yields the issues of one shared shard."""
    for checkpoint in sharing:
        others = ", ".join(place(other) for other in sharing if other != checkpoint)
        detail = f"{shard} of {place(checkpoint)} is also that of {others}"
        if checkpoint != last:
            cure = "" if allow else "leave it out, or set allow_known_bad = true in its [series] table"
            level: Level = "doubtful" if allow else "refused"
            yield AuditIssue("copied shard", level, detail, cure, checkpoint.address)
