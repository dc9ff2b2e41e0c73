"""Checkpoints whose weights turned out equal when they were loaded: of each group only the earliest step counts."""

from __future__ import annotations

from collections import defaultdict

from amuro.core.types import Checkpoint
from amuro.study.inputs import UNKNOWN, Inputs
from amuro.study.plan import Plan
from amuro.study.store import Store


def blocked(plan: Plan, store: Store) -> dict[str, str]:
    """Address of each later twin → that of the earliest step with the same weights in its series.

    Looked at are checkpoints that were loaded before, in whatever order, with the weights that they have now. Of
    weights that do not lie on this machine, those that a load has recorded count, if they are one digest. Series that
    allow duplicates have none.
    """
    recorded: dict[str, set[str]] = defaultdict(set)
    for manifest in store.manifests("checkpoints"):
        recorded[manifest["checkpoint"]].add(manifest["weights"])
    groups: dict[tuple[str, str], list[Checkpoint]] = defaultdict(list)
    inputs = Inputs(plan, store)
    for checkpoint in sorted(plan.checkpoints, key=lambda checkpoint: checkpoint.step):
        if checkpoint.address not in recorded or plan.study.series[checkpoint.series].allow_duplicates:
            continue
        now = inputs.checkpoint(checkpoint)["weights"]
        weights = recorded[checkpoint.address] if now == UNKNOWN else {now}
        if len(weights) == 1:
            groups[checkpoint.series, *weights].append(checkpoint)
    return {later.address: first.address for first, *others in groups.values() for later in others}
