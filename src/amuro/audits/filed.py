"""What audits of sets are filed under, so that a store tells those of the rows that are asked now from all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amuro.inputs import Inputs
from amuro.plan import Plan
from amuro.store import Manifest, Store


def filed(plan: Plan, inputs: Inputs, task: str, split: str) -> dict[str, Any]:
    """Where the rows come from, which of them are asked, and digests of their bytes and of the rows of train."""
    read = {name: inputs.rows(task, name) for name in sorted({split, "train"} & set(plan.tasks[task].splits))}
    return {**plan.origin(task, split), **plan.asked(task, split), "read": read}


def kept(plan: Plan, store: Store, audit: str) -> Iterator[Manifest]:
    """The stored audits of one kind that are of the rows which this study asks."""
    inputs = Inputs(plan, store)
    for manifest in store.manifests("audits"):
        known = manifest["audit"] == audit and manifest["task"] in plan.tasks
        if known and filed(plan, inputs, manifest["task"], manifest["split"]).items() <= manifest.items():
            yield manifest
