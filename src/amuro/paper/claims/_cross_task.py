"""C1c and C1d: does tuning on one kind of task forget the other kind?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from amuro.core.types import EvidenceState, Finding
from amuro.paper.changes import asked, merged
from amuro.paper.replicate_noise import curve, in_words, run_noise, weighted
from amuro.paper.text import cells_of, draft_finding, left_out, long_enough, mean, names, note, plain, sound, stuck_sets
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.ratio import fieller
from amuro.results.verdicts import Claim, decide_verdicts

DELTA_SHARE = 0.1
"""Smallest loss of interest, as a share of the base's score."""


@dataclass(frozen=True, slots=True)
class Loss:
    """1 − Σ tuned / Σ base with Fieller's interval; a mean of ratios breaks where one base is small."""

    tuned: Estimate
    base: Estimate

    @property
    def value(self) -> float:
        """Returns 1 − Σ tuned / Σ base."""
        return 1 - self.tuned.value / self.base.value

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Returns the interval of the loss; infinite where the base may be 0."""
        ratio = fieller(self.tuned, self.base, level)
        return (1 - ratio[1], 1 - ratio[0]) if ratio else (float("-inf"), float("inf"))

    def p_two_sided(self, null: float = 0.0) -> float:
        """Returns the two-sided p value of "the loss is `null`": of Σ tuned = (1 − null) Σ base."""
        rest = 1 - null
        parts = (*self.tuned.parts, *((v * rest**2, df) for v, df in self.base.parts))
        return Estimate(self.tuned.value - rest * self.base.value, parts).p_two_sided()


def run_from(
    analysis: Callable[[], Analysis], taught: str, asked_kind: str
) -> Callable[[Evidence, np.random.Generator], list[Finding]]:
    """Returns the `run` of a claim on models tuned on kind `taught` and evaluated on kind `asked_kind`."""

    def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
        rows = asked(evidence.scores)
        trained_on = set(rows.filter((pl.col("role") == "in_domain") & (pl.col("kind") == taught))["tuned_on"])
        crossed = (
            (pl.col("role") == "cross_task") & pl.col("tuned_on").is_in(trained_on) & (pl.col("kind") == asked_kind)
        )
        return decide_verdicts([_claim(analysis(), evidence.study, plain(rows.filter(crossed)))])

    return run


def _claim(analysis: Analysis, study: str, rows: pl.DataFrame) -> Claim:
    fit = long_enough(merged(sound(rows))) if rows.height else rows
    if fit.is_empty():
        state: EvidenceState = "insufficient" if rows.height else "not run"
        caveats = note(left_out(rows)) if rows.height else ""
        return Claim(
            draft_finding(analysis, study, "No pair of tasks in this table can show it.", state, note=caveats), None
        )
    kept = rows.join(fit.select("tuned_on", "task").unique(), on=["tuned_on", "task"], how="semi")
    loss, (state, reason) = _loss(kept, fit), _state(fit)
    low, high = loss.interval()
    statement = (
        f"Over {names(_arrows(fit))} the sum of scores changes by {-loss.value:+.1%} (95 % interval {-high:.1%} to "
        f"{-low:.1%}); the bases score {min(fit['base']):.3f} to {max(fit['base']):.3f}."
    )
    noise = run_noise(kept)
    lines = fit.with_columns(pl.concat_str("tuned_on", pl.lit(" → "), "task").alias("arrow"))
    finding = draft_finding(
        analysis, study, statement, state, n=fit.height, cells=cells_of(fit), series=fit["series"][0],
        note=note(reason, left_out(rows), _short(rows, fit), _with_all(rows), in_words(noise)),
        points=tuple(curve(lines, noise, "arrow")),
    )  # fmt: skip
    return Claim(finding, loss)


def _arrows(rows: pl.DataFrame) -> list[str]:
    pairs = rows.select("tuned_on", "task").unique().sort("tuned_on", "task").rows()
    return [f"{tuned_on} → {task}" for tuned_on, task in pairs]


def _loss(rows: pl.DataFrame, fit: pl.DataFrame) -> Loss:
    ones = [1.0] * fit.height
    tuned = weighted(fit, ones, run_noise(rows, "value"), "value")
    base = weighted(fit, ones, run_noise(rows, "base", unit="task"), "base", unit="task")
    return Loss(tuned, base)


def _state(fit: pl.DataFrame) -> tuple[EvidenceState, str]:
    stuck = stuck_sets(fit)
    if set(stuck) == set(fit["task"]):
        return "degenerate", (
            f"The base of {names(stuck)} is a constant prediction: it has no ability that could be forgotten, and an "
            "unchanged score is one constant answer after another."
        )
    if set(fit["kind"]) == {"generation"}:
        return "insufficient", (
            "Only generated text was scored. A loss that does not show in the likelihood of the right answer as well "
            "is formatting, not knowledge, and the table has no likelihoods: this is not evidence of forgetting."
        )
    return "measured", f"The base of {names(stuck)} is a constant prediction." if stuck else ""


def _short(rows: pl.DataFrame, fit: pl.DataFrame) -> str:
    """Returns the sentence on pairs of tasks with too many missing rows."""
    lost = [arrow for arrow in _arrows(sound(rows)) if arrow not in _arrows(fit)]
    return f"Left out for missing rows: {names(lost)}." if lost else ""


def _with_all(rows: pl.DataFrame) -> str:
    """Returns the sentence on the ratio with overflowing prompts included; empty without any."""
    unfiltered = merged(rows.filter(~pl.col("constant_gold")))
    if unfiltered["overflow"].is_null().all():
        return ""
    change = mean(unfiltered["value"]) / mean(unfiltered["base"]) - 1
    return f"With the prompts that overflow the change would be {change:+.1%}."
