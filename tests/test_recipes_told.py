"""Several recipes for one task: each has its own sentence, name, line, row and numbers."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import STEPS, Exam, SimulatedStudy, task

from amuro.core import registry
from amuro.core.coordinates import RECIPE
from amuro.core.types import Finding
from amuro.report.examples import choose_examples, count_changes, pairs
from amuro.report.formatting import sentence
from amuro.report.html.examples_json import changes_by, names_of
from amuro.report.html.overview import tuning_panel
from amuro.report.html.page import render
from amuro.report.model import ReportData as Report
from amuro.report.naming import main_split, roles_of
from amuro.report.plots.specs import draw, task_chart
from amuro.report.score_tables import overview, score_tables
from amuro.report.transfer_matrix import forgetting_tables
from amuro.results import analyze
from amuro.results.analyses import load_analysis
from amuro.results.analyses.base import Evidence
from amuro.study.config import Study

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
    book, rng = SimulatedStudy(), np.random.default_rng(0)
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
        for name in registry.names("analyses")
        for finding in load_analysis(name).run(evidence, np.random.default_rng(0))
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


def book(recipes: list[Recipe], own: str = "letters") -> Report:
    """A report of one task, tuned by each recipe on rows whose split in domain is `own`, asked on three sets."""
    found = study(recipes, ("apples",))
    swap = {"test": "in_domain" if own == "test" else "out_of_domain", "letters": "out_of_domain"}
    swap[own] = "in_domain"
    role_of = pl.col("split").replace_strict(swap, default=None, return_dtype=pl.String)
    tuned = (pl.col("tuned_on") != "none") & (pl.col("task") == "apples")
    scores = found.scores.with_columns(pl.when(tuned).then(role_of).otherwise(pl.col("role")).alias("role"))
    text = [name for name, kind in found.items.schema.items() if kind == pl.Categorical]
    items = found.items.with_columns(pl.col(text).cast(pl.String), prompt_hash=pl.lit("h"))
    compared = pairs(items, {name: about.metric for name, about in found.tasks.items()})
    checkpoints = scores.select("checkpoint", "series", "step", "tokens").unique().sort("step").to_dicts()
    return Report(
        {"name": "s", "question": "", "description": []}, checkpoints, told(found), [], [], scores, items,
        choose_examples(compared, lambda _: "?"), pl.DataFrame(), pl.DataFrame(), {}, tasks=found.tasks,
        changes=count_changes(compared),
    )  # fmt: skip


def mean(report: Report, recipe: str, split: str) -> float:
    where = {"recipe": recipe, "task": "apples", "split": split, "format": "default", "step": STEPS[-1]}
    return float(report.scores.filter(*(pl.col(name) == value for name, value in where.items()))["value"].mean())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def page() -> tuple[Report, str]:
    report = book(TWO)
    return report, render(report)[0]


def test_every_recipe_stands_in_every_part_of_the_page(page: tuple[Report, str]) -> None:
    """Picture, glance, first table, matrix, findings, examples and counts name both recipes of a task."""
    report, text = page
    for name in ("whole-apples", "adapter-apples"):
        assert name in str(tuning_panel(report))
        assert name in str(draw(task_chart(report, "world", "apples", "letters")))
        table = overview(report, "world")
        assert table is not None
        assert any(name in head for head, _ in table.rows)
        assert any(name in head for head, _ in forgetting_tables(report, "world")[0].rows)
        names = names_of(report)
        assert any(name in words for words in names.in_words(report)["tuned"])
        assert text.count(name) > 20
    assert {row[2] for row in changes_by(report, names, "task", "split", *RECIPE)} == {0, 1}


def test_a_table_holds_each_recipes_own_numbers(page: tuple[Report, str]) -> None:
    """Squares of the first table and of the matrix are the scores of their recipe, and of no other."""
    report, _ = page
    table = overview(report, "world")
    assert table is not None
    rows, squares = dict(table.rows), dict(forgetting_tables(report, "world")[0].rows)
    for name, words in (("whole-apples", "(whole-apples)"), ("adapter-apples", "(adapter-apples, lora)")):
        score, base = mean(report, name, "letters"), mean(report, "none", "letters")
        assert rows[f"apples, letters set · tuned {words}"][-1].text == f"{score:.2f}"
        shown = {square.small for square in squares[f"apples {words}"]}
        assert f"{base:.2f} → {score:.2f}" in shown


def test_lines_of_recipes_differ_in_looks(page: tuple[Report, str]) -> None:
    """No two recipes of a chart share colour and dash."""
    report, _ = page
    chart = task_chart(report, "world", "apples", "letters")
    looks = [(line.css, line.dashed) for line in chart.lines]
    assert len(looks) == len(set(looks)) == 3
    away = task_chart(report, "world", "stones", "apples")
    assert [line.short or line.name for line in away.lines] == ["base", "after adapter-apples", "after whole-apples"]


@pytest.mark.parametrize("own", ["test", "letters"])
def test_the_frame_and_the_words_follow_the_role(own: str) -> None:
    """The set in domain is framed and stands first, the other is called out of domain, whatever their names."""
    report = book(TWO, own)
    other = {"test": "letters", "letters": "test"}[own]
    table = forgetting_tables(report, "world")[0]
    assert table.head[:2] == (f"apples, {own} set", f"apples, out-of-domain {other} set")
    for _, squares in table.rows:
        assert ["own" in square.css.split() for square in squares[:2]] == [True, False]
    assert main_split(report.scores, "apples") == own
    roles = roles_of(report.scores)
    assert sentence(f"on apples/{other}.", ["apples"], roles) == f"on apples (out-of-domain {other} set)."
    assert sentence(f"on apples/{own}.", ["apples"], roles) == f"on apples ({own} set)."
    assert all(f"out-of-domain {own}" not in head for made in score_tables(report, "apples") for head, _ in made.rows)


def test_sentences_of_several_series_name_their_own() -> None:
    """Beside a second series of the same tunings, no sentence could be taken for one of the other."""
    one = study(TWO[:1], ("apples",))
    both = {name: _twice(frame) for name, frame in (("items", one.items), ("scores", one.scores))}
    findings = analyze.findings(Study.model_construct(bootstrap_seed=0), replace(one, **both))
    ours = [finding for finding in findings if finding.series]
    assert {finding.series for finding in ours} == {"world", "other"}
    assert all(finding.statement.startswith(f"{finding.series}: ") for finding in ours)


def _twice(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows, and the same once more of another series."""
    cells = "other" + pl.col("cell").cast(pl.String)
    return pl.concat([frame, frame.with_columns(series=pl.lit("other"), cell=cells).cast(dict(frame.schema))])


def test_one_recipe_is_called_tuned() -> None:
    """With one recipe a task the tables keep their short names."""
    report = book(TWO[:1], "test")
    table = overview(report, "world")
    assert table is not None
    assert "apples, test set · tuned" in dict(table.rows)
    assert [head for head, _ in forgetting_tables(report, "world")[0].rows] == ["apples"]
