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
from amuro.results.trajectory import Trajectory, on_shared_examples, trajectories
from amuro.results.verdicts import Claim, decide_verdicts
from amuro.series.base import checkpoint_words

Matrix = dict[int, list[Floats]]
"""Step → for each format tuned in, scores (tuning seeds, formats asked, n)."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding for recipes of a task that differ in their format, over the checkpoints tuned in every format."""
    claims = [claim for lines in _same_but_format(evidence) if (claim := _claim(evidence, *lines)) is not None]
    return decide_verdicts(list({claim.finding.id: claim for claim in claims}.values())) or [
        blank(ANALYSIS, evidence, "No tuned model was asked in more than one format.", "not run")
    ]


def _same_but_format(evidence: Evidence) -> Iterator[tuple[list[Trajectory], str]]:
    """(trajectories of one task, one a format of tuning; what tells them from their like, for an id).

    Where several recipes tune in one format, each of them stands once beside those of the other formats.
    """

    def alike(found: Trajectory) -> tuple[str, ...]:
        return found.tuning.series, found.tuning.tuned_on, found.tuning.method, found.task, found.split

    for _, lines in groupby(sorted(trajectories(evidence, ["in_domain"]), key=alike), key=alike):
        by_format: dict[str, list[Trajectory]] = {}
        for found in lines:
            by_format.setdefault(found.tuning.tune_format, []).append(found)
        for chosen in product(*by_format.values()):
            others = ".".join(one.tuning.recipe for one in chosen[1:])
            yield list(chosen), others if any(len(of) > 1 for of in by_format.values()) else ""


def _claim(evidence: Evidence, lines: list[Trajectory], detail: str) -> Claim | None:
    formats = [found.tuning.tune_format for found in lines]
    if len(formats) < 2:
        return _easiest(evidence, lines[0])
    lines = on_shared_examples(lines)
    matrix = _matrix(lines, formats)
    if not matrix:
        return _easiest(evidence, lines[0])
    found = lines[0]
    estimate = advantage(matrix, found)
    status, reason = evidence_status(found)
    sentence = (
        f"On {found.name} the format that a model was tuned in is worth {effect_text(estimate)} of {found.metric} "
        f"beside the other formats, over {len(formats)} × {len(formats)} formats{_by(lines)} at "
        f"{counted(len(matrix), 'checkpoint')}."
    )
    note = caveats(evidence, found, reason, "How easy a format is, and how good a tuning, cancel out.")
    points = _points(matrix, formats, formats, found)
    cells = tuple(cell for line in lines for cell in _cells(line, list(matrix)))
    finding = draft_finding(
        ANALYSIS, evidence, found, sentence, status, note=note, points=points, cells=cells, detail=detail.lower()
    )
    return Claim(finding, estimate)


def _by(lines: list[Trajectory]) -> str:
    return f" ({', '.join(found.tuning.recipe for found in lines)})"


def _cells(found: Trajectory, steps: list[int]) -> list[str]:
    """Addresses of the cells of one way of tuning, in all formats."""
    own = fewest_shots(found.source.where(metric=found.metric, **found.tuning._asdict()))
    return [score_row["cell"] for score_row in own.score_rows if score_row["step"] in steps]


def _asked(found: Trajectory, step: int, formats: list[str]) -> Floats | None:
    """Scores (seeds, formats asked, n) of one way of tuning at one step; None where a format is missing."""
    source = found.source.where(metric=found.metric, step=step, **found.tuning._asdict())
    source = fewest_shots(source) if source.score_rows else source
    seeds = [source.where(tune_seed=seed) for seed in sorted(source.all("tune_seed"))]
    whole = [seed for seed in seeds if seed.all("format") >= set(formats)]
    return np.array([[s.where(format=f).values[0] for f in formats] for s in whole]) if whole else None


def _matrix(lines: list[Trajectory], formats: list[str]) -> Matrix:
    """The checkpoints at which every format was tuned in and asked."""
    steps = sorted(set.intersection(*(set(found.steps.tolist()) for found in lines)))
    rows = {step: [_asked(found, step, formats) for found in lines] for step in steps}
    return {step: [row for row in of if row is not None] for step, of in rows.items() if all(r is not None for r in of)}


def advantage(matrix: Matrix, found: Trajectory) -> Estimate:
    """Mean score in the trained format less the mean in all others, over formats tuned in and checkpoints.

    Each row (a tuning) and each column (a format asked) weighs the same on both sides, so that neither counts.
    """
    F = len(next(iter(matrix.values())))
    contrast = np.eye(F) / F - (1 - np.eye(F)) / (F * (F - 1))
    weights = np.concatenate([contrast.ravel()] * len(matrix)) / len(matrix)
    rows = np.concatenate([row.mean(axis=0) for of_step in matrix.values() for row in of_step])
    by_seed = [np.tensordot(contrast[f], row, (0, 1)) for of_step in matrix.values() for f, row in enumerate(of_step)]
    means, noise = clustered_means(rows, found.clusters), run_noise(by_seed, found.clusters)
    items, each = means.noise(weights), np.full(len(by_seed), 1 / len(matrix))
    parts = noise.parts(items, each, [len(seeds) for seeds in by_seed]) if noise else [items]
    return combine(float(weights @ means.value), parts)


def _points(matrix: Matrix, tuned: list[str], formats: list[str], found: Trajectory) -> Points:
    return tuple(
        score_point(found, f"tuned in {tuned_in}, step {step}", clustered_mean(row.mean(axis=0)[asked], found.clusters),
              x=wording, step=step)
        for step, of_step in matrix.items()
        for tuned_in, row in zip(tuned, of_step, strict=True)
        for asked, wording in enumerate(formats)
    )  # fmt: skip


def _easiest(evidence: Evidence, found: Trajectory) -> Claim | None:
    """Tuned in one format only: which format is easiest can be said, not what tuning in it brought."""
    here = found.source.where(metric=found.metric, series=found.tuning.series, step=int(found.steps[-1]))
    formats = sorted(here.where(**found.tuning._asdict()).all("format"))
    scores = _asked(found, int(found.steps[-1]), formats)
    if len(formats) < 2 or scores is None:
        return None
    means = clustered_means(scores.mean(axis=0), found.clusters)
    scored = zip(formats, found.facts.oriented(means.value), strict=True)
    named = ", ".join(f"{mean:.2f} in {wording}" for wording, mean in scored)
    best, worst = int(means.value.argmax()), int(means.value.argmin())
    ahead = means.contrast(np.eye(len(formats))[best] - np.eye(len(formats))[worst])
    easiest = f"{formats[best]} is the easiest format" if ahead.interval()[0] > 0 else "none is surely easier"
    sentence = (
        f"Tuned on {found.tuning.tuned_on}{found.by} in {found.tuning.tune_format}, "
        f"{checkpoint_words(int(found.steps[-1]))} scores {named}: {easiest}."
    )
    note = "What tuning in a format brings needs tuning in more than one."
    points = _points({int(found.steps[-1]): [scores]}, [found.tuning.tune_format], formats, found)
    return Claim(draft_finding(ANALYSIS, evidence, found, sentence, "insufficient", note=note, points=points), None)


ANALYSIS = Analysis(
    name="trained_format",
    question="Is a tuned model better in the format that it was tuned in?",
    family="trained format",
    delta=0.05,
    unit="clusters",
    formula="mean of the diagonal − mean of the rest of the matrix (format tuned in × format asked), over checkpoints",
    source="Sun & Dredze 2024, experiment 3; interaction contrast of a two-way layout",
    run=run,
)
