"""Is a tuned model better in the format that it was tuned in?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, product

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import (
    Points,
    blank,
    caveats,
    counted,
    draft_finding,
    effect_text,
    evidence_status,
    score_point,
)
from amuro.results.score_matrix import fewest_shots
from amuro.results.stats.clustered import Floats, clustered_mean, clustered_means
from amuro.results.stats.estimate import Estimate, combine
from amuro.results.stats.runs import run_noise
from amuro.results.trajectory import Trajectory
from amuro.results.trajectory_groups import on_shared_examples, trajectories
from amuro.results.verdicts import Claim, decide_verdicts
from amuro.series.base import checkpoint_words

Matrix = dict[int, list[Floats]]
"""Step → for each tuning format, scores (tuning seeds, evaluated formats, n)."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding per task tuned in several formats, over the checkpoints tuned in all of them."""
    claims = [claim for lines in _same_but_format(evidence) if (claim := _claim(evidence, *lines)) is not None]
    return decide_verdicts(list({claim.finding.id: claim for claim in claims}.values())) or [
        blank(ANALYSIS, evidence, "No tuned model was evaluated in more than one format.", "not run")
    ]


def _same_but_format(evidence: Evidence) -> Iterator[tuple[list[Trajectory], str]]:
    """Yields (trajectories of one task, one per tuning format; suffix that makes the finding's id unique).

    Where several recipes share a tuning format, every combination of recipes is yielded.
    """

    def alike(trajectory: Trajectory) -> tuple[str, ...]:
        return (
            trajectory.tuning.series,
            trajectory.tuning.tuned_on,
            trajectory.tuning.method,
            trajectory.task,
            trajectory.split,
        )

    for _, lines in groupby(sorted(trajectories(evidence, ["in_domain"]), key=alike), key=alike):
        by_format: dict[str, list[Trajectory]] = {}
        for trajectory in lines:
            by_format.setdefault(trajectory.tuning.tune_format, []).append(trajectory)
        for chosen in product(*by_format.values()):
            others = ".".join(trajectory.tuning.recipe for trajectory in chosen[1:])
            yield list(chosen), others if any(len(of) > 1 for of in by_format.values()) else ""


def _claim(evidence: Evidence, lines: list[Trajectory], detail: str) -> Claim | None:
    formats = [trajectory.tuning.tune_format for trajectory in lines]
    if len(formats) < 2:
        return _easiest(evidence, lines[0])
    lines = on_shared_examples(lines)
    matrix = _matrix(lines, formats)
    if not matrix:
        return _easiest(evidence, lines[0])
    trajectory = lines[0]
    estimate = advantage(matrix, trajectory)
    status, reason = evidence_status(trajectory)
    sentence = (
        f"On {trajectory.name} a model's own tuning format adds {effect_text(estimate)} of {trajectory.metric} "
        f"compared with the other formats, over {len(formats)} × {len(formats)} formats{_by(lines)} at "
        f"{counted(len(matrix), 'checkpoint')}."
    )
    note = caveats(evidence, trajectory, reason, "The difficulty of a format and the quality of a tuning cancel out.")
    points = _points(matrix, formats, formats, trajectory)
    cells = tuple(cell for line in lines for cell in _cells(line, list(matrix)))
    finding = draft_finding(
        ANALYSIS, evidence, trajectory, sentence, status, note=note, points=points, cells=cells, detail=detail.lower()
    )
    return Claim(finding, estimate)


def _by(lines: list[Trajectory]) -> str:
    return f" ({', '.join(trajectory.tuning.recipe for trajectory in lines)})"


def _cells(trajectory: Trajectory, steps: list[int]) -> list[str]:
    """Returns the addresses of the cells of one tuning at some steps, in all formats."""
    tuned = fewest_shots(trajectory.source.where(metric=trajectory.metric, **trajectory.tuning._asdict()))
    return [score_row["cell"] for score_row in tuned.score_rows if score_row["step"] in steps]


def _format_scores(trajectory: Trajectory, step: int, formats: list[str]) -> Floats | None:
    """Returns scores (seeds, formats, n) of one tuning at one step; None where no seed has all formats."""
    source = trajectory.source.where(metric=trajectory.metric, step=step, **trajectory.tuning._asdict())
    source = fewest_shots(source) if source.score_rows else source
    seeds = [source.where(tune_seed=seed) for seed in sorted(source.all("tune_seed"))]
    complete = [seed for seed in seeds if seed.all("format") >= set(formats)]
    return np.array([[s.where(format=f).values[0] for f in formats] for s in complete]) if complete else None


def _matrix(lines: list[Trajectory], formats: list[str]) -> Matrix:
    """Returns the scores at the checkpoints at which every format was tuned in and evaluated."""
    steps = sorted(set.intersection(*(set(trajectory.steps.tolist()) for trajectory in lines)))
    rows = {step: [_format_scores(trajectory, step, formats) for trajectory in lines] for step in steps}
    return {step: [row for row in of if row is not None] for step, of in rows.items() if all(r is not None for r in of)}


def advantage(matrix: Matrix, trajectory: Trajectory) -> Estimate:
    """Estimates the mean score in the tuning format − the mean in all others, over tuning formats and checkpoints.

    Each row (tuning) and each column (evaluated format) has the same weight on both sides, so that main effects cancel.
    """
    F = len(next(iter(matrix.values())))
    contrast = np.eye(F) / F - (1 - np.eye(F)) / (F * (F - 1))
    weights = np.concatenate([contrast.ravel()] * len(matrix)) / len(matrix)
    rows = np.concatenate([row.mean(axis=0) for of_step in matrix.values() for row in of_step])
    by_seed = [np.tensordot(contrast[f], row, (0, 1)) for of_step in matrix.values() for f, row in enumerate(of_step)]
    means, noise = clustered_means(rows, trajectory.clusters), run_noise(by_seed, trajectory.clusters)
    items, shares = means.noise(weights), np.full(len(by_seed), 1 / len(matrix))
    parts = noise.parts(items, shares, [len(seeds) for seeds in by_seed]) if noise else [items]
    return combine(float(weights @ means.value), parts)


def _points(matrix: Matrix, tuned: list[str], formats: list[str], trajectory: Trajectory) -> Points:
    return tuple(
        score_point(trajectory, f"tuned in {tuned_in}, step {step}",
              clustered_mean(row.mean(axis=0)[column], trajectory.clusters), x=format_name, step=step)
        for step, of_step in matrix.items()
        for tuned_in, row in zip(tuned, of_step, strict=True)
        for column, format_name in enumerate(formats)
    )  # fmt: skip


def _easiest(evidence: Evidence, trajectory: Trajectory) -> Claim | None:
    """Returns an *insufficient* claim that names the easiest format; None where only one format was evaluated."""
    here = trajectory.source.where(
        metric=trajectory.metric, series=trajectory.tuning.series, step=int(trajectory.steps[-1])
    )
    formats = sorted(here.where(**trajectory.tuning._asdict()).all("format"))
    scores = _format_scores(trajectory, int(trajectory.steps[-1]), formats)
    if len(formats) < 2 or scores is None:
        return None
    means = clustered_means(scores.mean(axis=0), trajectory.clusters)
    scored = zip(formats, trajectory.facts.oriented(means.value), strict=True)
    named = ", ".join(f"{mean:.2f} in {name}" for name, mean in scored)
    best, worst = int(means.value.argmax()), int(means.value.argmin())
    ahead = means.contrast(np.eye(len(formats))[best] - np.eye(len(formats))[worst])
    easiest = f"{formats[best]} is the easiest format" if ahead.interval()[0] > 0 else "none is surely easier"
    sentence = (
        f"Tuned on {trajectory.tuning.tuned_on}{trajectory.by} in {trajectory.tuning.tune_format}, "
        f"{checkpoint_words(int(trajectory.steps[-1]))} scores {named}: {easiest}."
    )
    note = "The effect of the tuning format needs tunings in several formats."
    points = _points({int(trajectory.steps[-1]): [scores]}, [trajectory.tuning.tune_format], formats, trajectory)
    return Claim(
        draft_finding(ANALYSIS, evidence, trajectory, sentence, "insufficient", note=note, points=points), None
    )


ANALYSIS = Analysis(
    name="trained_format",
    question="Is a tuned model better in the format that it was tuned in?",
    family="trained format",
    delta=0.05,
    unit="clusters",
    formula="mean of the diagonal − mean of the rest of the matrix (tuning × evaluated format), over checkpoints",
    source="Sun & Dredze 2024, experiment 3; interaction contrast of a two-way layout",
    run=run,
)
