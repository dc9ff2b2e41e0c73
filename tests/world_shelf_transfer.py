"""Worlds of what one tuning does to other tasks: mixtures beside single tasks, classification beside generation."""

from __future__ import annotations

import numpy as np
from world_kinds import Coverage, Make, Rng, World
from worlds import FLOOR, STEPS, Exam, SimulatedStudy, ability_of, expected, task, tune

from amuro.core.types import Task
from amuro.results.analyses.base import Evidence


def _mixed(single: float, mixture: float, *, base: float = 1.5, home: float = 1.5, mixture_home: float = 1.5,
           kind: str = "multiple_choice", second: float | None = None, run_sd: float = 0.2, luck: float = 0.0,
           alone: tuple[str, ...] = ("a", "b")) -> Make:  # fmt: skip
    """Facts that three tunings were asked: on a, on b, and on both; and each of them at home.

    `single` and `mixture` are abilities on the facts after tuning. With a `second` reading the mixture is better there
    by so many standard units. `luck`: how far a run of the mixture strays at home, on both tasks alike. `alone`: which
    of its tasks were tuned alone as well.
    """
    after = {**dict.fromkeys(alone, single), "a+b": mixture}

    def asked(book: SimulatedStudy, about: Task, exam: Exam, rng: Rng) -> None:
        for step in STEPS[-2:]:
            book.add(about, exam, exam.answers(base, 0.25, rng), step=step)
            for tuned_on, ability in after.items():
                for seed in range(3):
                    values = exam.answers(ability + rng.normal(0, run_sd), 0.25, rng)
                    how = {"step": step, "tuned_on": tuned_on, "tune_seed": seed, "role": "cross_task"}
                    book.add(about, exam, values, **how)
                    if second is not None:
                        level = exam.easiness + rng.normal(second if "+" in tuned_on else 0, 1.4, len(exam.easiness))
                        book.add(about, exam, (level > -1.0).astype(float), metric="calibrated_accuracy", **how)
            if second is not None:
                level = exam.easiness + rng.normal(1.0, 1.4, len(exam.easiness))
                book.add(about, exam, (level > -1.0).astype(float), metric="calibrated_accuracy", step=step)

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        for number in range(tasks):
            asked(book, task(f"facts{number}", 0.25, kind=kind), Exam.draw(rng), rng)
        strays = rng.normal(0, luck, (2, 3))
        for name in ("a", "b"):
            about, exam = task(name, 1 / 3), Exam.draw(rng)
            for step in STEPS[-2:]:
                at_home = {"step": step, "seeds": 3, "role": "in_domain"}
                tune(book, about, exam, rng, base=FLOOR, tuned=home, **at_home)
                for seed in range(3):
                    reached = mixture_home + strays[STEPS[-2:].index(step), seed] + rng.normal(0, 0.2)
                    values = exam.answers(reached, 1 / 3, rng)
                    book.add(about, exam, values, step=step, tuned_on="a+b", tune_seed=seed, role="in_domain")
        return book.evidence()

    return make


def _crossed(taught: str, asked: str, *, base: float, tuned: float, fall: float, run_sd: float = 0.2) -> Make:
    """Three tasks of one kind tuned, two of another kind asked; the second reading falls by `fall` standard units."""
    metric, second = {
        "classification": ("accuracy", "calibrated_accuracy"),
        "generation": ("exact_match", "log_likelihood"),
    }[asked]
    guess = 1 / 3 if asked == "classification" else 0.0

    def make(rng: Rng, tasks: int) -> Evidence:
        book = SimulatedStudy()
        homes = [task(f"home{number}", 1 / 3, kind=taught) for number in range(3)]
        book.tasks.update({home.name: home for home in homes})
        # A run that is lucky on one set is as lucky on the other.
        luck = rng.normal(0, run_sd, (len(STEPS), 3, 2))
        for number in range(2):
            about = task(f"other{number}", guess or None, metric=metric, kind=asked)
            exam = Exam.draw(rng)
            for step in STEPS[-2:]:
                book.add(about, exam, exam.answers(base, guess, rng), step=step)
                book.add(about, exam, _level(exam, 0.0, rng, asked), step=step, metric=second)
                for place, home in enumerate(homes):
                    for seed in range(2):
                        reached = tuned + luck[STEPS.index(step), place, seed]
                        how = {"step": step, "tuned_on": home.name, "tune_seed": seed, "role": "cross_task"}
                        book.add(about, exam, exam.answers(reached, guess, rng), **how)
                        book.add(about, exam, _level(exam, fall, rng, asked), metric=second, **how)
        return book.evidence()

    return make


def _near_chance(sets: int) -> Make:
    """Choice sets whose bases stand where a base just counts as able, and which no tuning changes."""

    def make(rng: Rng, tasks: int) -> Evidence:
        book, home = SimulatedStudy(), task("home", None, metric="exact_match", kind="generation")
        book.tasks[home.name] = home
        for number in range(sets):
            about, exam = task(f"other{number}", 0.25, kind="multiple_choice"), Exam.draw(rng)
            for step in STEPS[-2:]:
                able = ability_of(0.25 + 0.1 * 0.75, 0.25)
                book.add(about, exam, exam.answers(able, 0.25, rng), step=step)
                for seed in range(3):
                    book.add(about, exam, exam.answers(able, 0.25, rng), step=step, tuned_on=home.name, tune_seed=seed,
                             role="cross_task")  # fmt: skip
        return book.evidence()

    return make


def _one_in_form(rng: Rng, tasks: int) -> Evidence:
    """Text of two tasks: one with long answers is lost, the other only in form."""
    book, home = SimulatedStudy(), task("home", 1 / 3)
    book.tasks[home.name] = home
    for name, fall, scale in (("long", 1.0, 30.0), ("short", 0.0, 1.0)):
        about, exam = task(name, None, metric="exact_match", kind="generation"), Exam.draw(rng)
        for step in STEPS[-2:]:
            for seed in range(-1, 3):
                how = {"tuned_on": home.name, "tune_seed": seed, "role": "cross_task"} if seed >= 0 else {}
                book.add(about, exam, exam.answers(1.0 if seed < 0 else -0.5, 0.0, rng), step=step, **how)
                level = scale * _level(exam, fall if seed >= 0 else 0.0, rng, "generation")
                book.add(about, exam, level, step=step, metric="log_likelihood", **how)
    return book.evidence()


def _level(exam: Exam, fall: float, rng: Rng, kind: str) -> np.ndarray:
    level = exam.easiness + rng.normal(-fall, 1.4, len(exam.easiness))
    return (level > -1.0).astype(float) if kind == "classification" else level


TO_TEXT, TO_CLASS = ("classification", "generation"), ("generation", "classification")

TRANSFER_WORLDS = (
    World("both lose alike", "mixture", "null", _mixed(0.3, 0.3)),
    World("nothing is lost", "mixture", "null", _mixed(1.5, 1.5)),
    World("both lose alike, runs scatter", "mixture", "null", _mixed(0.3, 0.3, run_sd=0.8)),
    World("the mixture learned less", "mixture", "null", _mixed(0.0, 1.2, mixture_home=0.0)),
    World("the mixture teaches it, single tasks lose nothing", "mixture", "null", _mixed(1.5, 2.6)),
    World("the mixture is worse at home by the margin, runs lucky on all", "mixture", "null",
          _mixed(0.0, 1.2, mixture_home=ability_of(expected(1.5, 1 / 3, 0.2) - 0.1 * (2 / 3), 1 / 3), luck=0.6)),
    World("only one of its tasks alone", "mixture", "null", _mixed(0.0, 1.2, alone=("a",))),
    World("output form is spared", "mixture", "null", _mixed(0.0, 1.2, kind="classification", second=0.0)),
    World("nothing to lose", "mixture", "null", _mixed(FLOOR, 1.0, base=FLOOR)),
    World("the mixture spares", "mixture", "true", _mixed(0.0, 1.2)),
    World("the mixture spares in both readings", "mixture", "true",
          _mixed(0.0, 1.2, kind="classification", second=0.8)),
    World("the mixture loses more", "mixture", "reversed", _mixed(0.8, -0.5)),
    World("text is not lost", "across_kinds", "null", _crossed(*TO_TEXT, base=1.0, tuned=1.0, fall=0.0)),
    World("text is not lost, runs scatter", "across_kinds", "null",
          _crossed(*TO_TEXT, base=1.0, tuned=1.0, fall=0.0, run_sd=0.8)),
    World("text is lost in form alone", "across_kinds", "null", _crossed(*TO_TEXT, base=1.0, tuned=-0.5, fall=0.0)),
    World("bases near chance, nothing lost", "across_kinds", "null", _near_chance(12)),
    World("one text is lost, one in form alone", "across_kinds", "null", _one_in_form),
    World("no text to lose", "across_kinds", "null", _crossed(*TO_TEXT, base=FLOOR, tuned=FLOOR, fall=1.0)),
    World("text is lost", "across_kinds", "true", _crossed(*TO_TEXT, base=1.0, tuned=0.0, fall=1.0),
          "class_to_generation"),
    World("text is gained", "across_kinds", "reversed", _crossed(*TO_TEXT, base=0.0, tuned=1.0, fall=-1.0)),
    World("classes are not lost", "across_kinds", "null", _crossed(*TO_CLASS, base=1.0, tuned=1.0, fall=0.0)),
    World("classes are lost", "across_kinds", "true", _crossed(*TO_CLASS, base=1.0, tuned=0.0, fall=1.0),
          "generation_to_class"),
)  # fmt: skip

SPARED = expected(1.2, 0.25, 0.2) - expected(0.0, 0.25, 0.2)
SHARE = 1 - expected(0.0, 0.0, 0.2) / expected(1.0, 0.0)

TRANSFER_COVERAGE = (
    Coverage("what a mixture spares", "mixture", _mixed(0.0, 1.2), SPARED),
    Coverage("share of text lost", "across_kinds", _crossed(*TO_TEXT, base=1.0, tuned=0.0, fall=1.0), SHARE,
             "class_to_generation"),
)  # fmt: skip
