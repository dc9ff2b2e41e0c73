"""Checkpoints whose weights turned out equal when they were loaded: of each group only the earliest step counts."""

from __future__ import annotations

from collections import defaultdict

from amuro.plan import Plan
from amuro.store import Manifest, Store
from amuro.types import Checkpoint


def blocked(plan: Plan, store: Store) -> dict[str, str]:
    """Address of each later twin → that of the earliest step with the same weights in its series.

    It rests on what loading has recorded so far, not on the order in which checkpoints were loaded. Series that allow
    duplicates have none.
    """
    last: dict[str, Manifest] = {}
    for manifest in sorted(store.manifests("checkpoints"), key=lambda manifest: manifest["created_ns"]):
        last[manifest["checkpoint"]] = manifest
    groups: dict[tuple[str, str], list[Checkpoint]] = defaultdict(list)
    for checkpoint in sorted(plan.checkpoints, key=lambda checkpoint: checkpoint.step):
        if checkpoint.address in last and not plan.study.series[checkpoint.series].allow_duplicates:
            groups[checkpoint.series, last[checkpoint.address]["weights"]].append(checkpoint)
    return {later.address: first.address for first, *others in groups.values() for later in others}
