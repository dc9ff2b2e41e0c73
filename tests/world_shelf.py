"""The worlds that each analysis must judge rightly: null, true, reversed, and such as break its assumptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import logit
from world_kinds import Coverage, Make, Rng, World
from world_shelf_curves import CURVE_COVERAGE, CURVE_WORLDS
from world_shelf_transfer import TRANSFER_COVERAGE, TRANSFER_WORLDS
from worlds import FLOOR, SEEDS, STEPS, Exam, Floats, SimulatedStudy, ability_of, climb, expected, task, tune

from amuro.results.analyses.base import Evidence


def _climbs(base: Sequence[float], tuned: Sequence[float], *, chance: float = 1 / 3, **how: Any) -> Make:
    """Tasks followed over all checkpoints."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            climb(book, task(f"t{number}", chance), rng, base, tuned, **how)
        return book.evidence()

    return make


def _latest(base: float, tuned: float, *, chance: float | None = 1 / 3, home: float | None = None,
            **how: Any) -> Make:  # fmt: skip
    """Sets at the last two checkpoints, three tuning seeds at each; `home`: ability in domain beside them."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            about, exam, at_home = task(f"t{number}", chance), Exam.draw(rng), Exam.draw(rng)
            for step in STEPS[-2:]:
                coordinates = {"seeds": 3, "step": step, **how}
                tune(book, about, exam, rng, base=base, tuned=tuned, **coordinates)
                if home is not None:
                    tune(book, about, at_home, rng, base=base, tuned=home, role="in_domain", seeds=3, step=step,
                         split="test")  # fmt: skip
        return book.evidence()

    return make


def _scattered(base: float, tuned: float, **how: Any) -> Make:
    """As `_latest`, but the runs of every fourth task scatter eight times as much as those of the others."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            about, exam, run_sd = task(f"t{number}", 1 / 3), Exam.draw(rng), 0.1 if number % 4 else 0.8
            for step in STEPS[-2:]:
                tune(book, about, exam, rng, base=base, tuned=tuned, step=step, run_sd=run_sd, **how)
        return book.evidence()

    return make


def _loud_among_quiet(rng: Rng, tasks: int) -> Evidence:
    """A set at one half beside sets near the ceiling; tuning changes none and runs do not scatter."""
    book = SimulatedStudy()
    for number, ability in enumerate((0.0, 7.0, 7.0, 7.0)[:tasks]):
        about, exam = task(f"t{number}", 0.0), Exam.draw(rng)
        for step in STEPS[-2:]:
            tune(book, about, exam, rng, base=ability, tuned=ability, step=step, run_sd=0.0, seeds=2, role="in_domain")
    return book.evidence()


CROSS: dict[str, Any] = {"role": "cross_task", "tuned_on": "other"}
FACTS: dict[str, Any] = {"chance": 0.25, "role": "facts", "tuned_on": "other"}


def _pairwise(share: Callable[[Floats, Floats], Floats], *, known: float = 0.6) -> Make:
    """Facts that are known or guessed: `share` says, from draws in [0, 1) and what is known, what is known after."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            about, exam = task(f"t{number}", 0.25, kind="multiple_choice"), Exam.draw(rng)
            size = len(exam.clusters)
            before = (rng.random(size) < known).astype(float)
            after = share(rng.random(size), before)
            book.add(about, exam, np.maximum(before, rng.random(size) < 0.25))
            for seed in range(2):
                # Both seeds guess alike, and otherwise than the base: guessing does not show in the churn of seeds.
                luck = np.random.default_rng(number).random(size) < 0.25
                book.add(about, exam, np.maximum(after, luck), tuned_on="other", role="facts", tune_seed=seed)
        return book.evidence()

    return make


def _second(metric: str, second: str, fall: float, kind: str) -> Make:
    """The primary metric falls; the second reading, on the same examples, falls by `fall` (standard units)."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            about = task(f"t{number}", 1 / 3 if kind == "classification" else None, metric=metric, kind=kind)
            exam = Exam.draw(rng)
            for step in STEPS[-2:]:
                tune(book, about, exam, rng, base=1.5, tuned=0.0, step=step, seeds=3, **CROSS)
                for seed in range(-1, 3):
                    level = exam.easiness + rng.normal(0, 1.4, len(exam.easiness)) - (fall if seed >= 0 else 0.0)
                    values = (level > -1.0).astype(float) if kind == "classification" else level
                    tuned = {**CROSS, "tune_seed": seed} if seed >= 0 else {}
                    book.add(about, exam, values, step=step, metric=second, **tuned)
        return book.evidence()

    return make


def _asked_otherwise(after: Sequence[float]) -> Make:
    """Facts asked in three formats: known alike in all before, and so well after tuning as `after` says."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            about, exam = task(f"t{number}", 0.25, kind="multiple_choice"), Exam.draw(rng)
            for step in STEPS[-2:]:
                for wording, ability in zip(FORMATS, after, strict=True):
                    tune(book, about, exam, rng, base=1.5, tuned=ability, step=step, wording=wording, role="facts",
                         seeds=3, tuned_on="other")  # fmt: skip
        return book.evidence()

    return make


FORMATS = ("default", "instruct", "input_output")
LATEST: dict[str, Any] = {"steps": STEPS[-2:], "seeds": (3, 3)}


def _formats(effects: Callable[[int], Sequence[float]], abilities: Sequence[float], *, base: float = FLOOR,
             steps: Sequence[int] = STEPS[1:], seeds: Sequence[int] = SEEDS[1:], chance: float = 1 / 3,
             run_sd: float = 0.1) -> Make:  # fmt: skip
    """One task asked in three formats at each step; `effects` of a step's place are added to the ability."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book, about, exam = SimulatedStudy(), task("t0", chance), Exam.draw(rng)
        for place, (step, ability, count) in enumerate(zip(steps, abilities, seeds, strict=True)):
            for wording, effect in zip(FORMATS, effects(place), strict=True):
                shift = effect if base > FLOOR else 0.0
                tune(book, about, exam, rng, base=base + shift, tuned=ability + effect, step=step, seeds=count,
                     wording=wording, role="in_domain", run_sd=run_sd)  # fmt: skip
        return book.evidence()

    return make


def _crossed(diagonal: float, *, asked: Sequence[float] = (0.6, 0.0, -0.6), trained: Sequence[float] = (0.4, 0.0, -0.4),
             ability: float = 0.5, seeds: int = 2) -> Make:  # fmt: skip
    """Tuned in each of three formats and asked in each, at two checkpoints."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            about, exam = task(f"t{number}", 1 / 3), Exam.draw(rng)
            for step in STEPS[-2:]:
                for wording in FORMATS:
                    book.add(about, exam, exam.answers(FLOOR, 1 / 3, rng), step=step, wording=wording)
                for row, tuned_in in enumerate(FORMATS):
                    for seed in range(seeds):
                        run = rng.normal(0, 0.3)
                        for column, wording in enumerate(FORMATS):
                            own = diagonal if row == column else 0.0
                            reached = ability + asked[column] + trained[row] + own + run + rng.normal(0, 0.1)
                            values = exam.answers(reached, 1 / 3, rng)
                            book.add(about, exam, values, step=step, tuned_on=about.name, wording=wording,
                                     tune_format=tuned_in, role="in_domain", tune_seed=seed)  # fmt: skip
        return book.evidence()

    return make


def _equal_sets(base: float, tuned: float) -> Make:
    """Eight data sets alike in truth: their bases differ by noise alone."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(8):
            about = task(f"t{number}", None, metric="exact_match")
            tune(book, about, Exam.draw(rng), rng, base=base, tuned=tuned, role="in_domain")
        return book.evidence()

    return make


def _share_of_room(share: Callable[[float], float], scatter: float = 0.05, highest: float = 0.8) -> Make:
    """Eight bases from .1 to `highest`; tuned = base + share(base) · (1 − base), with scatter from set to set."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number, base in enumerate(np.linspace(0.1, highest, 8)):
            about, exam = task(f"t{number}", None, metric="exact_match", kind="generation"), Exam.draw(rng)
            after = np.clip(base + (share(base) + rng.normal(0, scatter)) * (1 - base), 0.01, 0.99)
            size = len(exam.clusters)
            book.add(about, exam, (rng.random(size) < base).astype(float))
            book.add(about, exam, (rng.random(size) < after).astype(float), tuned_on=about.name, role="in_domain",
                     tune_seed=0)  # fmt: skip
        return book.evidence()

    return make


def _straying(size: float) -> Make:
    """Bases that know nothing and whose way of guessing strays around chance from checkpoint to checkpoint."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            about, exam = task(f"t{number}", 1 / 3), Exam.draw(rng)
            for step, seeds in zip(STEPS, SEEDS, strict=True):
                tune(book, about, exam, rng, base=FLOOR, tuned=1.0, step=step, seeds=seeds, role="in_domain",
                     guess=1 / 3 + rng.normal(0, size))  # fmt: skip
        return book.evidence()

    return make


RISE = (FLOOR, -2.5, -1.0, 0.0, 1.5, 3.0)
"""Ability at each of STEPS of what is built in pre-training."""
FLAT = (FLOOR,) * 6
BY_DELTA = (FLOOR, FLOOR, *(ability_of(1 / 3 + 0.25 * (2 / 3) * step / 4, 1 / 3) for step in (1, 2, 3, 4)))
"""A base whose score climbs evenly, over the whole series, by the δ of *latent gain*."""

WORLDS = (
    World("no gain", "gain", "null", _latest(0.0, 0.0, role="in_domain")),
    World("no gain at the ceiling", "gain", "null", _latest(4.5, 4.5, role="in_domain")),
    World("no gain, uneven clusters", "gain", "null", _climbs([0.0] * 6, [0.0] * 6, uneven=True, dev=False)),
    World("no gain, runs scatter", "gain", "null", _latest(0.0, 0.0, role="in_domain", run_sd=0.7)),
    World("no gain, the runs of one task scatter", "gain", "null", _scattered(0.0, 0.0, role="in_domain", seeds=3)),
    World("no gain, two seeds, one scatters", "gain", "null", _scattered(0.0, 0.0, role="in_domain", seeds=2)),
    World("no gain, one loud set among quiet ones", "gain", "null", _loud_among_quiet),
    World("gain, two seeds", "gain", "true", _latest(0.0, 1.2, role="in_domain", seeds=2)),
    World("gain", "gain", "true", _latest(0.0, 1.2, role="in_domain")),
    World("tuning harms", "gain", "reversed", _latest(0.5, 0.0, role="in_domain")),
    World("gain at home only", "transfer", "null", _latest(0.0, 0.0, home=1.5, role="out_of_domain", split="test_ood")),
    World("transfer", "transfer", "true", _latest(0.0, 1.2, home=1.5, role="out_of_domain", split="test_ood")),
    World("tuning harms elsewhere", "transfer", "reversed",
          _latest(0.5, 0.0, home=1.5, role="out_of_domain", split="test_ood")),
    World("churn only", "forgetting", "null", _latest(1.5, 1.5, **FACTS)),
    World("guessing anew", "forgetting", "null", _pairwise(lambda draw, before: before)),
    World("as much learned as lost", "forgetting", "null",
          _pairwise(lambda draw, before: np.where(draw < 0.15, 1 - before, before), known=0.5)),
    World("base at chance", "forgetting", "null", _latest(FLOOR, FLOOR, **FACTS)),
    World("output form of labels", "forgetting", "null",
          _second("accuracy", "calibrated_accuracy", 0.0, "classification")),
    World("output form of text", "forgetting", "null", _second("exact_match", "log_likelihood", 0.0, "generation")),
    World("another format brings it back", "forgetting", "null", _asked_otherwise((-0.5, 1.5, 1.5))),
    World("churn only, two seeds, one scatters", "forgetting", "null", _scattered(1.5, 1.5, **CROSS, seeds=2)),
    World("forgotten in every format", "forgetting", "true", _asked_otherwise((-0.5, -0.5, -0.5))),
    World("forgotten text", "forgetting", "true", _second("exact_match", "log_likelihood", 1.0, "generation")),
    World("forgotten facts", "forgetting", "true", _pairwise(lambda draw, before: before * (draw > 0.25))),
    World("facts gained", "forgetting", "reversed", _latest(0.5, 1.2, **FACTS)),
    World("formats alike", "format_sensitivity", "null", _formats(lambda _: (0, 0, 0), [1.0] * 2, **LATEST), "after"),
    World("formats alike at the ceiling", "format_sensitivity", "null",
          _formats(lambda _: (0, 0, 0), [3.5, 5.0], **LATEST), "after"),
    World("formats differ", "format_sensitivity", "true",
          _formats(lambda _: (0.8, 0, -0.8), [1.0] * 2, **LATEST), "after"),
    World("constant effect", "format_sensitivity", "null",
          _formats(lambda _: (0.6, 0, -0.6), [-0.5, 0.0, 0.5, 1.0, 1.5]), "trend"),
    World("constant effect, from the floor", "format_sensitivity", "null",
          _formats(lambda _: (0.6, 0, -0.6), [-6.0, -2.0, 0.0, 1.0, 2.0]), "trend"),
    World("constant effect, to the ceiling", "format_sensitivity", "null",
          _formats(lambda _: (0.6, 0, -0.6), [0.0, 1.0, 2.5, 4.0, 5.5]), "trend"),
    World("eased", "format_sensitivity", "true",
          _formats(lambda t: (1.2 - 0.3 * t, 0, 0.3 * t - 1.2), [0.3, 0.4, 0.6, 0.8, 1.0]), "trend"),
    World("grows", "format_sensitivity", "reversed",
          _formats(lambda t: (0.3 * t, 0, -0.3 * t), [0.3, 0.4, 0.6, 0.8, 1.0]), "trend"),
    World("no advantage", "trained_format", "null", _crossed(0.0)),
    World("no advantage, no seeds", "trained_format", "null", _crossed(0.0, seeds=1)),
    World("no advantage, one easy format", "trained_format", "null", _crossed(0.0, asked=(3.5, 0.0, 0.0))),
    World("advantage", "trained_format", "true", _crossed(0.8)),
    World("disadvantage", "trained_format", "reversed", _crossed(-0.5)),
    World("latent", "latent_gain", "true", _climbs(FLAT, RISE)),
    World("latent, runs scatter", "latent_gain", "true", _climbs(FLAT, RISE, scatter=[0.7] * 6)),
    World("runs scatter where none is replicated", "latent_gain", "null",
          _climbs(FLAT, (FLOOR, 0, 0, 0, 0, 0), scatter=[0.1, 0.8, 0.1, 0.8, 0.8, 0.1])),
    World("nothing grows", "latent_gain", "null", _climbs(FLAT, (FLOOR, 0, 0, 0, 0, 0))),
    World("learned in the open", "latent_gain", "null", _climbs(RISE, (FLOOR, 0, 1, 2, 3, 3.5))),
    World("base climbs by delta", "latent_gain", "null", _climbs(BY_DELTA, (FLOOR, -2.5, -0.5, 1.0, 2.5, 4.0))),
    World("latent, two labels, three wordings", "latent_gain", "true",
          _climbs(FLAT, RISE, chance=1 / 2, wordings=("instruct", "input_output"))),
    World("one checkpoint", "latent_gain", "null", _climbs(FLAT, (FLOOR, -3, -3, -3, -3, 2))),
    World("step 0 does as well", "latent_gain", "null", _climbs(FLAT, (3.2, -2.5, -1.0, 0.0, 1.5, 3.0))),
    World("constant predictor", "latent_gain", "null", _climbs(FLAT, RISE, evidence="degenerate")),
    World("gap shrinks", "latent_gain", "reversed", _climbs(FLAT, (FLOOR, 2, 1, 0, -1, -2))),
    World("constant gain", "learned_gain_less", "null", _share_of_room(lambda base: 0.15 / (1 - base))),
    World("constant share of the room", "learned_gain_less", "null", _share_of_room(lambda base: 0.6)),
    World("one ceiling below 1", "learned_gain_less", "null",
          _share_of_room(lambda base: (0.9 - base) / (1 - base), scatter=0.02)),
    World("base is noise", "learned_gain_less", "null", _equal_sets(0.0, 0.5)),
    World("gain less", "learned_gain_less", "true",
          _share_of_room(lambda base: 0.9 if base < 0.35 else 0.1, highest=0.65)),
    World("gain more", "learned_gain_less", "reversed", _share_of_room(lambda base: 0.1 + 0.8 * base)),
    World("flat base", "learned_in_pretraining", "null", _climbs(FLAT, RISE), "rise"),
    World("straying guesses", "learned_in_pretraining", "null", _straying(0.05), "rise"),
    World("jump at the end", "learned_in_pretraining", "null",
          _climbs((FLOOR, -5, -5, -5, -5, 0), [FLOOR, 1, 1, 1, 1, 1]), "rise"),
    World("known before the first checkpoint", "learned_in_pretraining", "null",
          _climbs((FLOOR, 3, 3, 3, 3, 3), [FLOOR, 3, 3, 3, 3, 3]), "rise"),
    World("rises", "learned_in_pretraining", "true", _climbs(RISE, [FLOOR, 1, 1, 1, 2, 3]), "rise"),
    World("rises and saturates", "learned_in_pretraining", "true",
          _climbs((FLOOR, -1.0, 2.0, 3.5, 3.5, 3.5), [FLOOR, 1, 2, 3, 3, 3]), "rise"),
    World("falls", "learned_in_pretraining", "reversed",
          _climbs((FLOOR, -0.6, -1.0, -1.5, -2.0, -3.0), [FLOOR, 1, 1, 1, 1, 1]), "rise"),
    World("tuning adds nothing", "learned_in_pretraining", "null", _climbs(RISE, RISE), "tuning"),
    World("tuning adds", "learned_in_pretraining", "true", _climbs(FLAT, (FLOOR, 0, 0, 0, 0, 0)), "tuning"),
    *TRANSFER_WORLDS,
    *CURVE_WORLDS,
)  # fmt: skip

THIRD = 1 / 3
GAIN = expected(1.2, THIRD, 0.2) - expected(0.0, THIRD)
LEVELS = logit([expected(1.0 + effect, 0.0, 0.1) for effect in (0.8, 0.0, -0.8)])
GAPS = [expected(ability, THIRD, 0.2) - expected(FLOOR, THIRD) for ability in RISE[1:]]
GROWTH = float(np.polyfit(np.log(STEPS[1:]), GAPS, 1)[0] * np.log(STEPS[-1] / STEPS[1]))
OWN = [[0.5 + a + t + 0.8 * (i == j) for j, a in enumerate((0.6, 0.0, -0.6))] for i, t in enumerate((0.4, 0.0, -0.4))]
CROSSED = np.array([[expected(ability, THIRD, float(np.hypot(0.3, 0.1))) for ability in row] for row in OWN])
ADVANTAGE = float(np.trace(CROSSED) / 3 - (CROSSED.sum() - np.trace(CROSSED)) / 6)

COVERAGE = (
    Coverage("gain", "gain", _latest(0.0, 1.2, role="in_domain"), GAIN),
    Coverage("no gain", "gain", _climbs([0.0] * 6, [0.0] * 6, uneven=True, dev=False),
             expected(0.0, THIRD, 0.2) - expected(0.0, THIRD)),
    Coverage("growth of the gap", "latent_gain", _climbs(FLAT, RISE), GROWTH),
    Coverage("variance between formats", "format_sensitivity", _formats(lambda _: (0.8, 0, -0.8), [1.0] * 2, **LATEST),
             float(np.var(LEVELS, ddof=1)), "after"),
    Coverage("advantage", "trained_format", _crossed(0.8), ADVANTAGE),
    *TRANSFER_COVERAGE,
    *CURVE_COVERAGE,
)  # fmt: skip
