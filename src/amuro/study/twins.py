"""Checkpoints with equal weights: within a series only the earliest step of such a group is evaluated."""

from __future__ import annotations

from collections import defaultdict

from amuro.core.types import Checkpoint
from amuro.study.inputs import UNKNOWN, Inputs
from amuro.study.plan import Plan
from amuro.study.store import Store


def blocked(plan: Plan, store: Store) -> dict[str, str]:
    """Returns address of each later duplicate → address of the earliest checkpoint with the same weights in its
    series.

    Only checkpoints that were loaded before are compared, by the weights that they have now. Checkpoints that are not
    on this machine are compared by the digest recorded at loading, if there is exactly one. Series that allow
    duplicates are skipped.
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
