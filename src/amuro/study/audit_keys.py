"""Keys of stored data set audits: they match an audit to the rows that a study evaluates now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from amuro.study.inputs import UNKNOWN, Inputs
from amuro.study.plan import Plan
from amuro.study.store import Manifest, Store

BELOW = "right answers below the best score"
"""Name of the note and of the flag on a set whose gold answers do not get the best score."""


def filed(plan: Plan, inputs: Inputs, task: str, split: str) -> dict[str, Any]:
    """Returns the key of an audit: source of the rows, their limit and shots, digests of the split's and of train's
    rows.
    """
    return {**_whole(plan, inputs, task, split), **plan.asked(task, split)}


def _whole(plan: Plan, inputs: Inputs, task: str, split: str) -> dict[str, Any]:
    """Returns the part of the key that does not depend on how many rows are evaluated."""
    digests = {name: inputs.rows(task, name) for name in sorted({split, "train"} & set(plan.tasks[task].splits))}
    return {**plan.origin(task, split), "read": digests}


def kept(plan: Plan, store: Store, audit: str) -> Iterator[Manifest]:
    """Yields the stored audits of kind `audit` whose rows are the ones that this study evaluates now."""
    inputs = Inputs(plan, store)
    for manifest in store.manifests("audits"):
        known = manifest["audit"] == audit and manifest["task"] in plan.tasks
        if known and _agrees(filed(plan, inputs, manifest["task"], manifest["split"]), manifest):
            yield manifest


def kept_of_whole(plan: Plan, store: Store, task: str, split: str) -> Iterator[Manifest]:
    """Yields the stored task audits of this set's rows, whatever number of rows they covered."""
    now = _whole(plan, Inputs(plan, store), task, split)
    yield from (m for m in store.manifests("audits") if m["audit"] == "tasks" and _agrees(now, m))


def _agrees(now: Mapping[str, Any], manifest: Manifest) -> bool:
    """Whether a stored audit has the inputs `now`; rows that are not on this machine contradict no audit."""
    digests = {name: value for name, value in now["read"].items() if value != UNKNOWN}
    others = {name: value for name, value in now.items() if name != "read"}
    return others.items() <= manifest.items() and digests.items() <= manifest["read"].items()
