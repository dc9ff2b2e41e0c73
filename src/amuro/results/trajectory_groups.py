"""Collections of trajectories: built from the evidence, grouped, selected, and with seed noise shared between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import polars as pl

from amuro.results.analyses.base import Evidence
from amuro.results.score_matrix import score_matrix
from amuro.results.stats.runs import RunNoise, shrunk_together
from amuro.results.trajectory import MIN_CHECKPOINTS, Trajectory, Tuning, build_trajectory
from amuro.study.recipe_names import tuned_by_several


def trajectories(evidence: Evidence, roles: Sequence[str]) -> list[Trajectory]:
    """Returns a trajectory for each tuning and each evaluation set that has one of `roles` for that tuning.

    Scores are those of the task's own metric. Pairs of tuning and set without shared cells or examples are left out.
    """
    tuned_in_role = pl.col("role").is_in(roles) & (pl.col("tuned_on") != "none")
    rows = evidence.scores.lazy().filter(tuned_in_role).select("task", "split", *Tuning._fields).collect().iter_rows()
    tunings_of: dict[tuple[str, str], set[Tuning]] = defaultdict(set)
    for task, split, *tuning in rows:
        tunings_of[task, split].add(Tuning(*tuning))
    several = tuned_by_several(evidence.scores)
    built = [
        build_trajectory(matrix, tuning, evidence.tasks[task].metric, tuning.tuned_on in several)
        for (task, split), tunings in sorted(tunings_of.items())
        if (matrix := score_matrix(evidence, task, split)) is not None
        for tuning in sorted(tunings)
    ]
    return with_shared_noise(trajectory for trajectory in built if trajectory is not None)


def with_shared_noise(group: Iterable[Trajectory]) -> list[Trajectory]:
    """Returns the trajectories with seed variances shrunk towards those of the others under the same metric."""
    members = list(group)
    shrunk: dict[int, RunNoise | None] = {}
    for metric in {trajectory.metric for trajectory in members}:
        alike = [index for index, trajectory in enumerate(members) if trajectory.metric == metric]
        shrunk |= zip(alike, shrunk_together([members[index].own_noise for index in alike]), strict=True)
    return [replace(trajectory, shrunk=shrunk[index]) for index, trajectory in enumerate(members)]


def on_shared_examples(group: Sequence[Trajectory]) -> list[Trajectory]:
    """Returns trajectories of one evaluation set on the examples that all of them have; there may be none."""
    shared = list(set.intersection(*(set(trajectory.examples.tolist()) for trajectory in group)))
    return [trajectory.only(np.isin(trajectory.examples, shared)) for trajectory in group]


def longest(group: Iterable[Trajectory]) -> list[Trajectory]:
    """Returns the trajectories that are long enough for a trend (`MIN_CHECKPOINTS` trained checkpoints).

    For a series and evaluation set without any, those with the most trained checkpoints are returned.
    """
    members = list(group)
    required: dict[tuple[str, str, str], int] = defaultdict(int)
    for trajectory in members:
        key = trajectory.tuning.series, trajectory.task, trajectory.split
        required[key] = max(required[key], min(len(trajectory.trained), MIN_CHECKPOINTS))
    return [
        trajectory
        for trajectory in members
        if len(trajectory.trained) >= required[trajectory.tuning.series, trajectory.task, trajectory.split]
    ]


def by_set(group: Iterable[Trajectory]) -> list[list[Trajectory]]:
    """Returns the trajectories grouped by evaluation set and series; those of a group share their base models."""

    def key(trajectory: Trajectory) -> tuple[str, ...]:
        return trajectory.task, trajectory.split, trajectory.tuning.series

    return [list(alike) for _, alike in groupby(sorted(group, key=key), key=key)]


def fullest(alike: Sequence[Trajectory]) -> Trajectory:
    """Returns the trajectory with the most checkpoints, then replicates, then examples; ties go to the default recipe.

    Claims about base models are made once for all recipes, on this trajectory.
    """

    def size(trajectory: Trajectory) -> tuple[int, ...]:
        return -len(trajectory.trained), -len(trajectory.replicated), -len(trajectory.examples)

    return min(alike, key=lambda trajectory: (size(trajectory), _unusual(trajectory.tuning)))


def stand_ins(group: Sequence[Trajectory]) -> tuple[list[Trajectory], str]:
    """Keeps the trajectories of one recipe for each series and task tuned on: that with the most evaluation sets.

    Claims that count tasks use it, since two recipes for one task are not two tasks. Ties go to the default recipe.
    Returns the kept trajectories and a sentence that names the choices (empty where nothing was chosen).
    """
    sets_of: dict[tuple[str, str], dict[Tuning, int]] = defaultdict(lambda: defaultdict(int))
    for trajectory in group:
        sets_of[trajectory.tuning[:2]][trajectory.tuning] += 1
    chosen = {
        key: min(counts, key=lambda tuning: (-counts[tuning], *_unusual(tuning))) for key, counts in sets_of.items()
    }
    named = [f"{chosen[key].recipe} for {key[1]}" for key, counts in sets_of.items() if len(counts) > 1]
    kept = [trajectory for trajectory in group if chosen[trajectory.tuning[:2]] == trajectory.tuning]
    return kept, f"Of several recipes one stands for each task: {', '.join(named)}." if named else ""


def _unusual(tuning: Tuning) -> tuple[bool, bool, str]:
    """Returns a sort key that puts full tuning in the default format first, then recipes by name."""
    return tuning.method != "full", tuning.tune_format != "default", tuning.recipe
