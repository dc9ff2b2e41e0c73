"""What audits of sets are filed under, so that a store tells those of the rows that are asked now from all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from amuro.study.inputs import UNKNOWN, Inputs
from amuro.study.plan import Plan
from amuro.study.store import Manifest, Store

BELOW = "right answers below the best score"
"""Name of the note and of the flag on a set whose right answers themselves do not score best."""


def filed(plan: Plan, inputs: Inputs, task: str, split: str) -> dict[str, Any]:
    """Where the rows come from, which of them are asked, and digests of their bytes and of the rows of train."""
    return {**_whole(plan, inputs, task, split), **plan.asked(task, split)}


def _whole(plan: Plan, inputs: Inputs, task: str, split: str) -> dict[str, Any]:
    """The same of a whole split, however much of it is asked."""
    read = {name: inputs.rows(task, name) for name in sorted({split, "train"} & set(plan.tasks[task].splits))}
    return {**plan.origin(task, split), "read": read}


def kept(plan: Plan, store: Store, audit: str) -> Iterator[Manifest]:
    """The stored audits of one kind that are of the rows which this study asks."""
    inputs = Inputs(plan, store)
    for manifest in store.manifests("audits"):
        known = manifest["audit"] == audit and manifest["task"] in plan.tasks
        if known and _agrees(filed(plan, inputs, manifest["task"], manifest["split"]), manifest):
            yield manifest


def kept_of_whole(plan: Plan, store: Store, task: str, split: str) -> Iterator[Manifest]:
    """The stored audits of a set's very rows, of however many of them."""
    now = _whole(plan, Inputs(plan, store), task, split)
    yield from (m for m in store.manifests("audits") if m["audit"] == "tasks" and _agrees(now, m))


def _agrees(now: Mapping[str, Any], manifest: Manifest) -> bool:
    """Whether an audit was made of today's inputs; rows that do not lie on this machine contradict none."""
    read = {name: found for name, found in now["read"].items() if found != UNKNOWN}
    others = {name: value for name, value in now.items() if name != "read"}
    return others.items() <= manifest.items() and read.items() <= manifest["read"].items()
