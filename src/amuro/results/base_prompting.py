"""Best prompt variant of a base model (format, shots, raw or calibrated metric), chosen on rows that are not judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from amuro.core import registry
from amuro.results import shots_shown
from amuro.results.analyses.base import Evidence
from amuro.results.score_matrix import ScoreMatrix, ScoreRow, score_matrix
from amuro.results.stats.clustered import Ints
from amuro.results.trajectory import HOW, Trajectory, differing_coordinates
from amuro.results.trajectory_groups import with_shared_noise
from amuro.tasks.metrics import load_metric

PROMPTING = ("metric", "format", "shots", "shot_seed")
"""Coordinates that identify a prompt variant of a base."""
CLEARLY = 0.05
"""Margin by which a prompt variant that covers fewer examples must be better to be chosen."""
Key = tuple[Any, ...]
"""(step, metric, format, shots, shot seed)"""


class PromptVariant(NamedTuple):
    """Scores of one base under one prompt variant."""

    mean: float
    """Mean score, oriented so that higher is better."""
    row: int
    """Its row in the score matrix."""
    evidence: str
    """Evidence state of the score row: `degenerate` for a constant prediction."""
    complete: bool
    """Whether it has a score on every compared example."""


@dataclass(frozen=True)
class BestPrompting:
    """A trajectory whose bases are scored under their best prompt variants."""

    trajectory: Trajectory
    names: tuple[str, ...]
    """(T,) words for the chosen prompt variant of each checkpoint."""
    constant: bool
    """Whether some checkpoint gives one answer to nearly all examples under every prompt variant."""
    note: str
    """Caveat where the choice was made on the judged rows; else empty."""


def _variants(source: ScoreMatrix, trajectory: Trajectory, examples: Ints | slice) -> dict[Key, PromptVariant]:
    """Returns the prompt variants of all bases of a trajectory, scored on some examples."""
    metrics = {trajectory.metric, *(name for name in registry.names("metrics") if _calibrates(name, trajectory.metric))}
    variants = {}
    for row, score_row in enumerate(source.score_rows):
        ours = score_row["tuned_on"] == "none" and score_row["series"] == trajectory.tuning.series
        values = source.values[row, examples]
        known = np.isfinite(values)
        if ours and score_row["metric"] in metrics and known.any():
            key = tuple(score_row[name] for name in ("step", *PROMPTING))
            variants[key] = PromptVariant(float(values[known].mean()), row, score_row["evidence"], bool(known.all()))
    return variants


def _calibrates(name: str, metric: str) -> bool:
    """Whether metric `name` is the calibrated counterpart of `metric`."""
    return load_metric(name).calibrates == metric


def best_prompting(evidence: Evidence, trajectory: Trajectory) -> BestPrompting:
    """Chooses the best prompt variant of each base on the task's dev cells; without dev cells, on the judged rows.

    Constant predictors rank last, and a variant with fewer examples must be better by `CLEARLY`, so that noise does
    not cost examples. Where the chosen variants share no example, the bases keep the scores of the trajectory.
    """
    test, dev = (
        _variants(trajectory.matrix, trajectory, trajectory.examples),
        score_matrix(evidence, trajectory.task, "dev"),
    )
    dev_variants = _variants(dev, trajectory, slice(None)) if dev else {}
    on_dev = {key: variant.mean for key, variant in dev_variants.items() if key in test}
    picked = [_best(step, test, on_dev) for step in trajectory.steps.tolist()]
    values = np.array([trajectory.matrix.values[test[key].row, trajectory.examples] for key in picked])
    kept = np.asarray(np.isfinite(values).all(axis=0))
    score_rows = [score_row for score_row in trajectory.score_rows if score_row["tuned_on"] != "none"]
    score_rows += [trajectory.matrix.score_rows[test[key].row] for key in picked]
    mixed = trajectory.mixed or differing_coordinates(score_rows, HOW)
    rescored = trajectory
    if kept.any():
        rescored = replace(trajectory, base=values, score_rows=tuple(score_rows), mixed=mixed).only(kept)
    return BestPrompting(
        trajectory=rescored,
        names=tuple(_name(key, trajectory.matrix.score_rows[test[key].row]) for key in picked),
        constant=any(test[key].evidence == "degenerate" for key in picked),
        note="" if on_dev else "The best prompt variant was chosen on the same rows: there are no dev cells.",
    )


def _name(key: Key, score_row: ScoreRow) -> str:
    _, metric, prompt_format, shots, _ = key
    return f"{metric}, {prompt_format}, {shots_shown.in_words(f'{shots}-shot', shots, score_row['shots_shown'])}"


def _best(step: int, test: dict[Key, PromptVariant], on_dev: dict[Key, float]) -> Key:
    """Returns the key of the best prompt variant at one step, judged on dev scores where there are any."""
    here = [key for key in (on_dev or test) if key[0] == step] or [key for key in test if key[0] == step]

    def worth(key: Key) -> tuple[bool, float]:
        variant = test[key]
        return variant.evidence != "degenerate", on_dev.get(key, variant.mean) - (0.0 if variant.complete else CLEARLY)

    return max(here, key=worth)


def format_free_metric(evidence: Evidence, trajectory: Trajectory) -> str | None:
    """Returns the format-free metric of the set's task; None where the task metric is a likelihood already."""
    return trajectory.facts.format_free.get(evidence.tasks[trajectory.task].kind)


def format_free_trajectories(evidence: Evidence, group: Sequence[Trajectory]) -> list[Trajectory | None]:
    """Returns the same comparisons under their format-free metric; None where it does not exist or was not measured.

    One that ends at another checkpoint than the trajectory counts as not measured.
    """
    other = {
        place: second
        for place, trajectory in enumerate(group)
        if (metric := format_free_metric(evidence, trajectory))
        and (second := trajectory.under(metric)) is not None
        and second.steps[-1] == trajectory.steps[-1]
    }
    shrunk = dict(zip(other, with_shared_noise(other.values()), strict=True))
    return [shrunk.get(place) for place in range(len(group))]
