"""Worlds of many checkpoints: curves over pre-training, and what noise lets a study see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import brentq
from world_kinds import Coverage, Make, Rng, World
from worlds import FLOOR, STEPS, Exam, SimulatedStudy, climb, expected, task, tune

from amuro.results.analyses.base import Evidence

LONG = (0, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600)
"""Ten trained checkpoints, log-spaced: the least that *overtraining* asks for."""
LONG_SEEDS = (1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 3)
AT_A_CONSTANT_RATE = {f"world@{step}": "constant" for step in LONG}
ANNEALED_END = {**AT_A_CONSTANT_RATE, f"world@{LONG[-1]}": "annealed"}


def course(tuned: Sequence[float], base: Sequence[float] = (FLOOR,) * 11, *, schedules: dict[str, str] | None = None,
           run_sd: float = 0.2, chance: float = 1 / 3, **how: Any) -> Make:  # fmt: skip
    """Tasks followed over LONG: abilities of the tuned models and of the bases."""
    settings = {"steps": LONG, "seeds": LONG_SEEDS, "scatter": (run_sd,) * len(LONG), "dev": False, **how}

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            climb(book, task(f"t{number}", chance), rng, base, tuned, **settings)
        return book.evidence(schedules=AT_A_CONSTANT_RATE if schedules is None else schedules)

    return make


PLATEAU = (FLOOR, -2.0, -0.5, 0.5, 1.0, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2)
RISING = (FLOOR, -2.0, -1.5, -1.0, -0.6, -0.3, 0.0, 0.3, 0.7, 1.1, 1.5)
RISING_BASE = RISING
PEAK = (FLOOR, -2.0, -0.5, 0.5, 1.2, 1.8, 1.4, 0.9, 0.4, -0.1, -0.6)
EARLY_PEAK = (FLOOR, 0.0, 1.0, 2.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
LATE_DROP = (*PLATEAU[:-1], 0.2)
"""What a decay of the learning rate, or one bad run, does to the last checkpoint."""

OVERTRAINING = (
    World("plateau", "overtraining", "null", course(PLATEAU, RISING_BASE)),
    World("plateau at the ceiling", "overtraining", "null", course([min(a + 3, 4.2) for a in PLATEAU])),
    World("plateau, runs scatter", "overtraining", "null", course(PLATEAU, run_sd=0.7)),
    World("nothing but guesses", "overtraining", "null", course([FLOOR] * 11)),
    World("annealed end", "overtraining", "null", course(LATE_DROP, schedules=ANNEALED_END)),
    World("annealed end that nobody noted", "overtraining", "null", course(LATE_DROP, schedules={})),
    World("one bad last run", "overtraining", "null", course(LATE_DROP, seeds=(1, 1, 1, 1, 1, 3, 1, 3, 1, 1, 1))),
    World("seeds scatter at checkpoints without replicates", "overtraining", "null",
          course(PLATEAU, scatter=[0.1 if seeds > 1 else 0.8 for seeds in LONG_SEEDS])),
    World("early peak, then flat", "overtraining", "null", course(EARLY_PEAK)),
    World("falls after a peak", "overtraining", "true", course(PEAK, RISING_BASE)),
    World("still rising", "overtraining", "reversed", course(RISING, RISING_BASE)),
)  # fmt: skip

CLOSE_END = (100, 200, 400, 800, 1600, 3200, 3250, 3300, 3350, 3400)
"""Five log-spaced checkpoints, and five close ones at the end."""


def bases(abilities: Sequence[float], run_sd: float = 0.3, steps: Sequence[int] = CLOSE_END, **how: Any) -> Make:
    """Bases that stray from their abilities from checkpoint to checkpoint; tuned alike at all of them."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            strayed = [ability + rng.normal(0, run_sd) for ability in abilities]
            flat, once = [1.0] * len(steps), [1] * len(steps)
            settings = {"steps": steps, "seeds": once, "scatter": [0.2] * len(steps), "dev": False, **how}
            climb(book, task(f"t{number}", 1 / 3), rng, strayed, flat, **settings)
        return book.evidence(schedules={f"world@{step}": "constant" for step in steps})

    return make


def early(tuned: Sequence[float], **how: Any) -> Make:
    """Tasks followed over the six checkpoints of a plain study."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            climb(book, task(f"t{number}", 1 / 3), rng, [FLOOR] * 6, tuned, **{"dev": False, **how})
        return book.evidence()

    return make


def tuned_once(base: float, tuned: float, *, examples: int = 450, chance: float | None = 1 / 3, **how: Any) -> Make:
    """Tasks tuned at two checkpoints with three seeds, on so many examples."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            written = {"metric": "exact_match", "kind": "generation"} if chance is None else {}
            about, exam = task(f"t{number}", chance, **written), Exam.draw(rng, examples)
            for step in STEPS[-2:]:
                tune(book, about, exam, rng, base=base, tuned=tuned, step=step, seeds=3, role="in_domain", **how)
        return book.evidence()

    return make


RISE = (FLOOR, -2.5, -1.0, 0.0, 1.5, 3.0)
TREND_AT_THE_END = (-2.5, -1.5, -0.5, 0.5, 1.5, 2.2, 2.3, 2.4, 2.5, 2.6)
NOISE = (
    World("checkpoints alike", "noise", "null", early([0.0] * 6), "tuned"),
    World("checkpoints alike, scatter of several sizes", "noise", "null",
          early([0.0] * 6, scatter=(0.1, 0.5, 0.3, 0.1, 0.5, 0.3)), "tuned"),
    World("seeds scatter where none is replicated", "noise", "null",
          early([0.0] * 6, scatter=(0.1, 0.8, 0.1, 0.8, 0.8, 0.1)), "tuned"),
    World("one checkpoint strays", "noise", "null", early([0.0, 0.0, 0.0, 0.0, 2.5, 0.0]), "tuned"),
    World("seeds drown checkpoints", "noise", "reversed",
          early([0.0, -0.2, 0.0, 0.2, 0.0, 0.2], scatter=(0.8,) * 6), "tuned"),
    World("checkpoints differ", "noise", "true", early(RISE), "tuned"),
    World("bases alike", "noise", "null", bases([0.0] * 10), "base"),
    World("bases rise on a log-spaced grid", "noise", "null", bases(RISE[1:], steps=STEPS[1:]), "base"),
    World("trend among the last", "noise", "true", bases(TREND_AT_THE_END, run_sd=0.1), "base"),
)  # fmt: skip
DETECTABLE = (
    World("a plain study", "detectable", "null", tuned_once(0.0, 0.0), ".gain"),
    World("seeds too far apart", "detectable", "reversed", tuned_once(0.0, 1.0, run_sd=0.8), ".gain"),
    World("few uneven examples", "detectable", "null", tuned_once(0.0, 1.0, examples=150), ".gain"),
    World("easy to see", "detectable", "true", tuned_once(-5.0, 6.0, chance=None, run_sd=0.1), ".gain"),
    World("growth is easy to see", "detectable", "true", early([FLOOR, *[4.0] * 5], seeds=(1, 3, 3, 3, 3, 3)),
          ".latent_gain"),
    World("growth, runs scatter", "detectable", "null", early([0.0] * 6, scatter=(1.2,) * 6), ".latent_gain"),
)  # fmt: skip

CURVE_WORLDS: tuple[World, ...] = OVERTRAINING + NOISE + DETECTABLE
HALF = LONG[-5:]
FALLING = [expected(ability, 1 / 3, 0.2) for ability in PEAK[-5:]]
FALL = float(-np.polyfit(np.log(HALF), FALLING, 1)[0] * np.log(HALF[-1] / HALF[0]))
MARGIN = -0.0150
"""δ − the smallest detectable gain in `tuned_once(0.0, 1.2)`, one task: from the mean of the variances of 1,500 draws
(4.42e-4 of examples, 2.31e-4 of runs), which agree with the variance of their 1,500 gains (6.76e-4)."""
CURVE_COVERAGE: tuple[Coverage, ...] = (
    Coverage("fall after a peak", "overtraining", course(PEAK, RISING_BASE), FALL),
    Coverage("margin of a gain", "detectable", tuned_once(0.0, 1.2), MARGIN, ".gain"),
)  # fmt: skip


def saturating(top: float, span: float, rate: float, run_sd: float, guess: float = 1 / 3) -> tuple[float, ...]:
    """Abilities at LONG at which the expected score is top − span · (step / first)^(−rate)."""
    scores = [top - span * (step / LONG[1]) ** -rate for step in LONG[1:]]
    solve = [brentq(lambda a, s=score: expected(a, guess, run_sd) - s, -12, 12) for score in scores]
    return (FLOOR, *(float(ability) for ability in solve))
