"""Several recipes for one task: each has its own sentence, name, line, row and numbers."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import STEPS, Book, Exam, task

from amuro import catalog
from amuro.analysis import Evidence
from amuro.types import Finding

Recipe = dict[str, str]
TWO: list[Recipe] = [
    {"recipe": "whole", "method": "full", "tune_format": "default"},
    {"recipe": "adapter", "method": "lora", "tune_format": "default"},
]
METHODS = st.sampled_from(["full", "lora"])
FORMATS = st.sampled_from(["default", "instruct"])
KINDS = st.lists(st.fixed_dictionaries({"method": METHODS, "tune_format": FORMATS}), min_size=2, max_size=3)
BASE_CLAIMS = (".rise", ".before", ".base")


def study(recipes: list[Recipe], tasks: tuple[str, ...] = ("apples", "pears"), **how: Any) -> Evidence:
    """Every task tuned by every recipe, asked in two formats at home, out of domain, and on what none of them learned.

    Each recipe reaches another ability, so that no two of them share a number by right.
    """
    book, rng = Book(), np.random.default_rng(0)
    facts = task("stones", 0.5)
    for about in (task(name, 1 / 3) for name in tasks):
        exams = {split: Exam.draw(rng, 110, 55) for split in ("test", "letters")}
        away = Exam.draw(rng, 110, 55)
        for place, step in enumerate(STEPS):
            asked = [
                (about, "test", "default"), (about, "test", "instruct"), (about, "letters", "default"),
                *[(facts, about.name, "default")],
            ]  # fmt: skip
            for of, split, wording in asked:
                exam = exams.get(split, away)
                book.add(of, exam, exam.answers(1.0 if of is facts else -3.0, 0.4, rng), step=step, split=split,
                         wording=wording)  # fmt: skip
                for turn, recipe in enumerate(recipes):
                    role = "facts" if of is facts else "in_domain" if split == "test" else "out_of_domain"
                    ability = -1.0 if of is facts else 0.3 * place + turn - 0.5 * (wording != recipe["tune_format"])
                    for seed in range(2 if place > 3 else 1):
                        book.add(of, exam, exam.answers(ability, 0.4, rng), step=step, split=split, wording=wording,
                                 role=role, tuned_on=about.name, tune_seed=seed, **named(recipe, about.name),
                                 **how)  # fmt: skip
    return book.evidence()


def named(recipe: Recipe, about: str) -> Recipe:
    """The recipe of one task: no name of a recipe is used twice in a study."""
    return {**recipe, "recipe": f"{recipe['recipe']}-{about}"}


def told(evidence: Evidence) -> list[Finding]:
    return [
        finding
        for name in catalog.names("analyses")
        for finding in catalog.analysis(name).run(evidence, np.random.default_rng(0))
    ]


def masked(sentence: str) -> str:
    return re.sub(r"[-+]?\d[\d.,]*", "#", sentence)


@pytest.fixture(scope="module")
def two() -> list[Finding]:
    return told(study(TWO))


@settings(deadline=None, max_examples=3)
@given(KINDS)
def test_no_two_findings_differ_in_their_numbers_alone(kinds: list[Recipe]) -> None:
    """Whatever recipes a task has, a sentence whose numbers are hidden belongs to one finding, and so does an id."""
    findings = told(study([{"recipe": "abcd"[place], **kind} for place, kind in enumerate(kinds)], ("apples",)))
    read: dict[str, set[str]] = defaultdict(set)
    for finding in findings:
        read[masked(finding.statement)].add(finding.statement)
    assert [sentences for sentences in read.values() if len(sentences) > 1] == []
    ids = [finding.id for finding in findings]
    assert len(ids) == len(set(ids))


def test_claims_about_bases_are_made_once_a_task(two: list[Finding]) -> None:
    """Rise, sensitivity to formats and noise of the bases: one finding a task, however many recipes tune it."""
    for ending in BASE_CLAIMS:
        ours = [finding for finding in two if finding.id.endswith(ending)]
        assert sorted(finding.task for finding in ours) == ["apples", "pears"]
        assert not any(name in finding.statement.split(". ")[-1] for finding in ours for name in ("whole", "adapter"))


def test_every_recipe_has_its_own_numbers_under_its_name(two: list[Finding]) -> None:
    """A gain is the difference of that recipe's own scores, and the sentence names the recipe."""
    scores = study(TWO).scores
    last = scores.filter(
        pl.col("step") == STEPS[-1], pl.col("split") == "test", pl.col("format") == "default", pl.col("task") == "pears"
    )
    means = dict(last.group_by("recipe").agg(pl.col("value").mean()).iter_rows())
    base = last.filter(pl.col("tuned_on") == "none")["value"][0]
    for recipe in ("whole-pears", "adapter-pears"):
        (gain,) = [f for f in two if f.analysis == "gain" and recipe in f.id]
        assert gain.effect == pytest.approx(means[recipe] - base)
        assert recipe in gain.statement


def test_where_a_task_was_learned_is_said_by_recipe_where_they_differ(two: list[Finding]) -> None:
    """Each analysis that speaks of a tuning names it where its task has two."""
    for analysis in ("gain", "transfer", "latent_gain", "detectable", "forgetting"):
        ours = [f for f in two if f.analysis == analysis and f.task != ""]
        assert ours
        assert all(("whole-" in f.statement) != ("adapter-" in f.statement) for f in ours), analysis


def test_one_recipe_a_task_is_called_by_its_task() -> None:
    """Where nothing is ambiguous no sentence names a recipe."""
    findings = told(study(TWO[:1], ("apples",)))
    assert not any("whole-" in finding.statement for finding in findings)


def test_a_share_of_the_gain_is_taken_of_what_was_asked_alike() -> None:
    """Tuned and asked in another wording at home than outside, no share is told, and the note says why."""
    instruct = [{"recipe": "worded", "method": "full", "tune_format": "instruct"}]
    (unlike,) = [f for f in told(study(instruct, ("apples",))) if f.analysis == "transfer"]
    assert "of the gain in domain" not in unlike.statement
    assert "another format (instruct, here default)" in unlike.note
    (alike,) = [f for f in told(study(TWO[:1], ("apples",))) if f.analysis == "transfer"]
    assert "of the gain in domain" in alike.statement
