"""Analyses on poor, odd or rearranged evidence: what they then say, and what must not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import toy_table
from world_shelf import FLAT, RISE, WORLDS
from worlds import FLOOR, SEEDS, STEPS, Exam, Floats, SimulatedStudy, climb, task, tune

from amuro.core import registry
from amuro.core.errors import DataError, StudyError
from amuro.core.types import Finding
from amuro.results import analyze
from amuro.results.analyses import load_analysis
from amuro.results.analyses.base import Evidence
from amuro.results.scoring import no_items, no_scores
from amuro.results.trajectory_groups import trajectories
from amuro.study import config as studies
from amuro.study import plan as planning

ANALYSES = registry.names("analyses")


def run(analysis: str, evidence: Evidence, seed: int = 0) -> list[Finding]:
    found: list[Finding] = load_analysis(analysis).run(evidence, np.random.default_rng(seed))
    return found


def one_task(tasks: int = 1, **how: Any) -> Evidence:
    book = SimulatedStudy()
    for number in range(tasks):
        climb(book, task(f"t{number}", 1 / 3), np.random.default_rng(number), FLAT, RISE, **how)
    return book.evidence()


@pytest.mark.parametrize("name", ANALYSES)
def test_nothing_is_found_in_nothing(name: str) -> None:
    """On an empty study every analysis says one open sentence, and that it was not run."""
    (finding,) = run(name, Evidence(no_items(), no_scores(), {}, "empty"))
    assert (finding.verdict, finding.evidence, finding.effect) == ("open", "not run", None)
    assert finding.statement


@pytest.mark.parametrize("name", ["latent_gain", "learned_in_pretraining", "format_sensitivity"])
def test_one_checkpoint_makes_no_trend(name: str) -> None:
    """Analyses over checkpoints answer "insufficient" with one checkpoint, whatever it scores."""
    book, about = SimulatedStudy(), task("t0", 1 / 3)
    exam, rng = Exam.draw(np.random.default_rng(0)), np.random.default_rng(0)
    for wording in ("default", "instruct"):
        tune(book, about, exam, rng, base=1.0, tuned=2.0, seeds=3, wording=wording, role="in_domain")
    trends = [f for f in run(name, book.evidence()) if not f.id.endswith((".tuning", ".before", ".after"))]
    assert trends
    assert all((f.verdict, f.evidence) == ("open", "insufficient") for f in trends)


@pytest.mark.parametrize("name", ["latent_gain", "learned_in_pretraining"])
def test_without_replicates_no_trend_is_supported(name: str) -> None:
    """One tuning seed everywhere, however clear the trend: open, and the reason is seeds."""
    finding = run(name, one_task(seeds=[1] * 6))[0]
    assert (finding.verdict, finding.evidence) == ("open", "insufficient")
    assert "seeds" in finding.note


@pytest.mark.parametrize("name", ANALYSES)
def test_mixed_protocols_force_open(name: str) -> None:
    """Where base and tuned cells were asked under different protocols nothing is supported or refuted."""
    evidence = one_task()
    other = pl.when(pl.col("tuned_on") == "none").then(pl.lit("paper")).otherwise(pl.col("protocol")).alias("protocol")
    mixed = replace(evidence, items=evidence.items.with_columns(other), scores=evidence.scores.with_columns(other))
    assert all(finding.verdict == "open" for finding in run(name, mixed))


def test_mixed_is_said() -> None:
    """A mixed comparison is called mixed, and the coordinate in which it differs is named."""
    evidence = one_task()
    other = pl.when(pl.col("tuned_on") == "none").then(pl.lit("cuda")).otherwise(pl.col("device")).alias("device")
    (finding,) = run("gain", replace(evidence, scores=evidence.scores.with_columns(other)))
    assert finding.evidence == "mixed"
    assert "device" in finding.note


def test_few_clusters_are_insufficient() -> None:
    """Many examples over few clusters carry no claim."""
    book, rng = SimulatedStudy(), np.random.default_rng(0)
    exam = Exam.draw(rng, examples=500, clusters=16)
    tune(book, task("t0", 1 / 3), exam, rng, base=0.0, tuned=2.0, role="in_domain")
    (finding,) = run("gain", book.evidence())
    assert (finding.verdict, finding.evidence) == ("open", "insufficient")
    assert "16 clusters" in finding.note


def test_one_right_answer_is_degenerate() -> None:
    """A set whose gold is constant (hidden labels) proves nothing, however much the score rises."""
    evidence = one_task()
    constant = evidence.scores.with_columns(pl.lit(1.0).alias("majority"))
    (finding,) = run("gain", replace(evidence, scores=constant))
    assert (finding.verdict, finding.evidence) == ("open", "degenerate")


def test_constant_tuned_model_is_degenerate() -> None:
    """A tuned model that always gives one answer has gained nothing that could be judged."""
    evidence = one_task()
    stuck = pl.when(pl.col("tuned_on") == "none").then(pl.lit("measured")).otherwise(pl.lit("degenerate"))
    (finding,) = run("gain", replace(evidence, scores=evidence.scores.with_columns(stuck.alias("evidence"))))
    assert finding.evidence == "degenerate"


@pytest.mark.parametrize(("name", "ending"), [("learned_in_pretraining", ".tuning"), ("latent_gain", "")])
def test_a_model_tuned_to_the_majority_has_learned_nothing(name: str, ending: str) -> None:
    """A tuned model that gives one answer to everything outscores a base at chance, and is degenerate all the same."""
    evidence = one_task(seeds=[3] * 6)
    stuck = pl.when(pl.col("tuned_on") != "none").then(pl.lit("degenerate")).otherwise(pl.col("evidence"))
    sound = [f for f in run(name, evidence) if f.id.endswith(ending)]
    found = run(name, replace(evidence, scores=evidence.scores.with_columns(stuck.alias("evidence"))))
    [finding] = [f for f in found if f.id.endswith(ending)]
    assert (sound[0].verdict, sound[0].evidence) == ("supported", "measured")
    assert (finding.verdict, finding.evidence) == ("open", "degenerate")


def test_missing_cells_are_named() -> None:
    """A hole in the plan shows in the note of the finding that it touches, and in no other."""
    planned = pl.DataFrame({
        "cell": ["world@1600+t0-default/seed9|t0/test|default|0shot.0", "world@1600|t1/test|default|0shot.0"],
        "done": [False, True],
    })  # fmt: skip
    first, second = run("gain", replace(one_task(tasks=2), planned=planned))
    assert "Missing: 1 planned cell on t0/test." in first.note
    assert "Missing" not in second.note


def test_holm_counts_the_family() -> None:
    """A gain that is supported alone may be open among many: p values grow with the number of tuned tasks."""

    def evidence(extra: int) -> Evidence:
        book = SimulatedStudy()
        for number, gain in enumerate([0.75] + [0.0] * extra):
            rng = np.random.default_rng(number)
            exam, about = Exam.draw(rng), task(f"t{number}", 1 / 3)
            for step in STEPS[-2:]:
                tune(book, about, exam, rng, base=0.0, tuned=gain, step=step, seeds=1, role="in_domain")
        return book.evidence()

    alone, among = run("gain", evidence(0))[0], run("gain", evidence(30))[0]
    assert alone.p_adjusted is not None
    assert among.p_adjusted is not None
    assert (alone.effect, alone.low) == (among.effect, among.low)
    assert 25 * alone.p_adjusted < among.p_adjusted <= 31 * alone.p_adjusted


def test_study_may_override_delta() -> None:
    """A smallest effect of interest that the study states replaces the analysis' own, chance taken into account."""
    evidence = one_task()
    own, strict = run("gain", evidence)[0], run("gain", replace(evidence, delta={"gain": 0.99}))[0]
    assert own.delta == pytest.approx(0.1 * 2 / 3)
    assert strict.delta == pytest.approx(0.99 * 2 / 3)
    assert (own.verdict, strict.verdict) == ("supported", "open")


def test_same_seed_same_findings() -> None:
    """An analysis that resamples gives the same findings for the same generator."""
    evidence = next(w for w in WORLDS if w.name == "forgotten facts").make(np.random.default_rng(0), 2)
    assert run("forgetting", evidence, 5) == run("forgetting", evidence, 5)


def test_base_is_read_in_its_best_way() -> None:
    """Ability that shows under another format counts for the base: what another wording elicits is not latent."""
    evidence = one_task()
    book, rng = SimulatedStudy(), np.random.default_rng(0)
    about, exam, dev = task("t0", 1 / 3), Exam.draw(rng), Exam.draw(rng, 200)
    for step, ability, seeds in zip(STEPS, RISE, SEEDS, strict=True):
        tune(book, about, exam, rng, base=FLOOR, tuned=ability, step=step, seeds=seeds, role="in_domain")
        for split, rows, role in (("test", exam, "base"), ("dev", dev, "dev")):
            values = rows.answers(ability, 1 / 3, rng)
            book.add(about, rows, values, step=step, wording="instruct", split=split, role=role)
            if split == "dev":
                book.add(about, rows, rows.answers(FLOOR, 1 / 3, rng), step=step, split=split, role=role)
    assert run("latent_gain", evidence)[0].verdict == "supported"
    (finding,) = run("latent_gain", book.evidence())
    assert finding.verdict == "refuted"


def few_shot(evidence: Evidence, rows: int, split: str = "test", base: Floats | None = None) -> Evidence:
    """Every cell of a split asked once more with four shots, on its first `rows` examples; `base`: its new scores."""
    shots, address = pl.lit(4, dtype=pl.Int64).alias("shots"), (pl.col("cell") + "|4").alias("cell")
    kept = pl.col("example_id").is_in([f"e{i}" for i in range(rows)])
    items = evidence.items.filter((pl.col("split") == split) & kept)
    if base is not None:
        items = items.filter(pl.col("tuned_on") == "none").with_columns(
            pl.Series(base)[items.filter(pl.col("tuned_on") == "none")["step"]].alias("value")
        )
    more, scores = items.with_columns(shots, address.cast(pl.Categorical)), evidence.scores.with_columns(shots, address)
    scores = scores.filter(pl.col("cell").is_in(more["cell"].unique().to_list()))
    return replace(evidence, items=pl.concat([evidence.items, more]), scores=pl.concat([evidence.scores, scores]))


def test_zero_shot_is_primary() -> None:
    """Few-shot cells beside zero-shot cells change no gain, and fewer examples in them take none from it."""
    (plain,), (beside,) = run("gain", one_task()), run("gain", few_shot(one_task(), 100))
    assert (plain.effect, plain.low, plain.note) == (beside.effect, beside.low, beside.note)


def test_few_shots_count_for_the_base_where_they_are_clearly_better() -> None:
    """A base that can do it with four shots has no latent ability, though it was asked fewer examples that way."""
    rising = np.repeat(np.nan, STEPS[-1] + 1)
    rising[list(STEPS)] = [0.3, 0.45, 0.6, 0.7, 0.85, 0.95]
    evidence = few_shot(few_shot(one_task(), 200, "dev", rising), 300, "test", rising)
    assert run("latent_gain", few_shot(one_task(), 300))[0].verdict == "supported"
    (finding,) = run("latent_gain", evidence)
    assert finding.verdict != "supported"
    assert "Left out: 150 examples that some cell lacks." in finding.note


def test_one_format_of_tuning_tells_only_which_is_easiest() -> None:
    """Asked in three formats and tuned in one, the easiest is named, and what tuning in it brought stays open."""
    book, rng = SimulatedStudy(), np.random.default_rng(0)
    about, exam = task("t0", 1 / 3), Exam.draw(rng)
    for wording, ability in (("default", 0.0), ("instruct", 2.5), ("input_output", 0.5)):
        tune(book, about, exam, rng, base=FLOOR, tuned=ability, wording=wording, role="in_domain", seeds=2)
    (finding,) = run("trained_format", book.evidence())
    assert (finding.verdict, finding.evidence) == ("open", "insufficient")
    assert finding.statement.endswith("instruct is the easiest format.")
    assert len(finding.points) == 3


def test_formats_at_chance_have_no_easiest() -> None:
    """Where formats differ by noise alone, none is named easiest."""
    book, rng = SimulatedStudy(), np.random.default_rng(1)
    about, exam = task("t0", 1 / 3), Exam.draw(rng)
    for wording in ("default", "instruct"):
        tune(book, about, exam, rng, base=FLOOR, tuned=FLOOR, wording=wording, role="in_domain")
    (finding,) = run("trained_format", book.evidence())
    assert finding.statement.endswith("none is surely easier.")


def test_points_carry_what_a_figure_needs() -> None:
    """Every point names its line and place and lies within its interval; no number is missing or infinite."""
    for name in ("gain", "latent_gain", "learned_in_pretraining"):
        for finding in run(name, one_task()):
            assert finding.points
            for mark in finding.points:
                assert {"line", "value", "low", "high"} <= set(mark)
                assert "tokens" in mark or "x" in mark
                assert np.isfinite([mark["value"], mark["low"], mark["high"]]).all()
                assert mark["low"] <= mark["value"] <= mark["high"]


def test_scramble_follows_the_data() -> None:
    """Renaming data sets and shuffling rows changes names, and no number or verdict."""
    evidence = one_task(tasks=3)
    names = {"t0": "z", "t1": "a", "t2": "m"}
    renamed = [pl.col("task").replace(names), pl.col("tuned_on").replace(names), pl.col("recipe").replace(names)]

    def scrambled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(*renamed).sample(fraction=1.0, shuffle=True, seed=3)

    tasks = {names[name]: replace(about, name=names[name]) for name, about in evidence.tasks.items()}
    other = replace(evidence, items=scrambled(evidence.items), scores=scrambled(evidence.scores), tasks=tasks)
    for name in ("gain", "latent_gain", "learned_in_pretraining"):
        before = {names[f.task]: (f.verdict, f.effect, f.low) for f in run(name, evidence)}
        after = {f.task: (f.verdict, f.effect, f.low) for f in run(name, other)}
        assert {k: v[0] for k, v in before.items()} == {k: v[0] for k, v in after.items()}
        assert all(after[k][1:] == pytest.approx(before[k][1:]) for k in before)


def test_unpaired_examples_are_left_out_and_named() -> None:
    """Examples that one cell lacks are dropped from all, and the finding says how many."""
    evidence = one_task()
    cell = evidence.items.filter(pl.col("role") == "in_domain")["cell"][0]
    gone = (pl.col("cell") == cell) & (pl.col("example_id").is_in(["e0", "e1", "e2"]))
    (finding,) = run("gain", replace(evidence, items=evidence.items.filter(~gone)))
    assert "Left out: 3 examples" in finding.note
    (found,) = trajectories(replace(evidence, items=evidence.items.filter(~gone)), ["in_domain"])
    assert found.base.shape[1] == found.clusters.size == 447


def whole_study(steps: Sequence[int] = STEPS, examples: int = 450, **coordinates: Any) -> Evidence:
    """A study in which every analysis finds something to judge: roles, kinds, formats, a mixture, second readings."""
    book, rng = SimulatedStudy(), np.random.default_rng(0)
    kinds = {"label": (1 / 3, "accuracy"), "text": (None, "exact_match"), "choice": (0.25, "accuracy")}
    clusters = max(examples // 8, 1)
    for name, (chance, metric) in kinds.items():
        kind = {"label": "classification", "choice": "multiple_choice", "text": "generation"}[name]
        about, exam = task(name, chance, metric=metric, kind=kind), Exam.draw(rng, examples, clusters)
        for step in steps:
            for wording in ("default", "instruct"):
                how = {"step": step, "wording": wording, **coordinates}
                book.add(about, exam, exam.answers(1.0, chance or 0.0, rng), **how)
                for tuned_on in (*kinds, "label+text"):
                    role = "in_domain" if name in tuned_on.split("+") else "cross_task"
                    for seed in range(2):
                        values = exam.answers(1.5 if role == "in_domain" else 0.3, chance or 0.0, rng)
                        book.add(about, exam, values, tuned_on=tuned_on, role=role, tune_seed=seed, **how)
                        if tuned_on == name:
                            book.add(about, exam, values, tuned_on=tuned_on, role="out_of_domain", tune_seed=seed,
                                     split="test_ood", **how)  # fmt: skip
                book.add(about, exam, exam.answers(1.0, chance or 0.0, rng), split="test_ood", **how)
    return book.evidence()


def finite(finding: Finding) -> bool:
    """No number of a finding is NaN or infinite, those of its figure included."""
    marks = [mark[key] for mark in finding.points for key in ("value", "low", "high")]
    return all(number is None or np.isfinite(number) for number in [finding.effect, finding.low, finding.high, *marks])


def _without_bases(evidence: Evidence) -> Evidence:
    kept = pl.col("tuned_on") != "none"
    return replace(evidence, items=evidence.items.filter(kept), scores=evidence.scores.filter(kept))


def _mixed(evidence: Evidence, column: str, other: str) -> Evidence:
    """The bases differ from all others in one coordinate."""
    differs = pl.when(pl.col("tuned_on") == "none").then(pl.lit(other)).otherwise(pl.lit("one")).alias(column)
    return replace(evidence, scores=evidence.scores.with_columns(differs))


BAD = {
    "one checkpoint": lambda: whole_study(steps=STEPS[-1:]),
    "one example": lambda: whole_study(examples=1),
    "two examples of one cluster": lambda: whole_study(examples=2),
    "no bases": lambda: _without_bases(whole_study()),
    "unknown tokens": lambda: whole_study(steps=(-1,), tokens=None),
    "only the untrained checkpoint": lambda: whole_study(steps=(0,)),
    "mixed protocols": lambda: _mixed(whole_study(), "protocol", "paper"),
    "mixed provenance": lambda: _mixed(whole_study(), "provenance", "torch 2.12.0"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("name", ANALYSES)
def test_bad_input_is_said_and_never_counted(name: str, what: str) -> None:
    """Each analysis answers poor input with a reason in words: no warning, no NaN, and no verdict on what is mixed."""
    findings = run(name, BAD[what]())
    assert findings
    assert all(finite(finding) for finding in findings)
    if what.startswith("mixed") or "example" in what or what == "no bases":
        assert all(finding.verdict == "open" for finding in findings), [f.id for f in findings if f.verdict != "open"]
    for finding in findings:
        assert finding.evidence in ("measured", "not run") or finding.note or "needs" in finding.statement, finding


def _where(evidence: Evidence, which: pl.Expr, **changed: str) -> Evidence:
    """Some rows of the scores with other coordinates."""
    new = [pl.when(which).then(pl.lit(text)).otherwise(pl.lit("one")).alias(name) for name, text in changed.items()]
    return replace(evidence, scores=evidence.scores.with_columns(new))


@pytest.mark.parametrize("column", ["precision", "provenance"])
def test_formats_asked_otherwise_are_mixed(column: str) -> None:
    """A wording that was asked in another precision, or after an upgrade, makes no sensitivity to wording."""
    mixed = _where(whole_study(), pl.col("format") == "instruct", **{column: "other"})
    asked = [f for f in run("format_sensitivity", mixed) if f.id.endswith((".before", ".after"))]
    assert {(f.verdict, f.evidence) for f in asked} == {("open", "mixed")}
    assert all(column in f.note for f in asked)


def test_trends_over_several_schedules_are_mixed() -> None:
    """An annealed last checkpoint beside constant ones makes no trend, in any analysis of trends."""
    schedules = {f"world@{step}": "annealed" if step == STEPS[-1] else "constant" for step in STEPS}
    evidence = replace(one_task(), schedules=schedules)
    for name, ending in (("latent_gain", ""), ("learned_in_pretraining", ".rise"), ("detectable", ".latent_gain")):
        states = {f.evidence for f in run(name, evidence) if f.id.endswith(ending)}
        assert states == {"mixed"}, name


def test_a_second_reading_of_another_checkpoint_is_none() -> None:
    """A likelihood that was measured at an earlier checkpoint alone does not vouch for a loss at the latest."""
    book, rng = SimulatedStudy(), np.random.default_rng(0)
    about, exam = task("t", None, metric="exact_match", kind="generation"), Exam.draw(np.random.default_rng(1))
    for step in STEPS[-2:]:
        tune(book, about, exam, rng, base=1.5, tuned=-0.5, step=step, seeds=3, role="cross_task", tuned_on="other")
    for seed in range(-1, 3):
        how = {"tuned_on": "other", "tune_seed": seed, "role": "cross_task"} if seed >= 0 else {}
        book.add(about, exam, exam.easiness - (seed >= 0), step=STEPS[-2], metric="log_likelihood", **how)
    (finding,) = run("forgetting", book.evidence())
    assert finding.verdict == "open"
    assert "log_likelihood was not measured" in finding.note


def test_a_claim_on_one_seed_says_so() -> None:
    """Claims that stand on several comparisons say where no seed was replicated."""
    lone = whole_study()
    kept = pl.col("tune_seed") <= 0
    lone = replace(lone, items=lone.items.filter(kept), scores=lone.scores.filter(kept))
    for name in ("across_kinds", "mixture"):
        measured = [f for f in run(name, lone) if f.evidence == "measured"]
        assert measured, name
        assert all("holds for these weights only" in f.note for f in measured), name


def test_the_whole_study_is_judged_by_all() -> None:
    """What the tests of bad input spoil is fit for every analysis that needs no tenth checkpoint or eighth data set."""
    sound = whole_study()
    judged = {name for name in ANALYSES if any(f.evidence == "measured" for f in run(name, sound))}
    assert set(ANALYSES) - judged <= {"learned_gain_less", "trained_format", "overtraining"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize("name", ANALYSES)
def test_equal_scores_give_no_nan_and_no_warning(name: str, score: float) -> None:
    """Where every example scores the same, nothing divides by zero: numbers are finite, and nothing is supported."""
    book = SimulatedStudy()
    for kind, metric, chance in (("classification", "accuracy", 1 / 3), ("generation", "exact_match", None)):
        about, exam = task(kind, chance, metric=metric, kind=kind), Exam.draw(np.random.default_rng(0))
        values = np.full(len(exam.clusters), score)
        for step, seeds in zip(STEPS, SEEDS, strict=True):
            for wording in ("default", "instruct"):
                book.add(about, exam, values, step=step, wording=wording)
                for seed in range(seeds):
                    for role, split in (("in_domain", "test"), ("out_of_domain", "test_ood"), ("facts", "facts")):
                        book.add(about, exam, values, step=step, wording=wording, split=split)
                        book.add(about, exam, values, step=step, tuned_on=about.name, role=role, split=split,
                                 tune_seed=seed, wording=wording)  # fmt: skip
    evidence = book.evidence()
    once = replace(evidence, items=evidence.items.unique(["cell", "metric", "example_id"]),
                   scores=evidence.scores.unique(["cell", "metric"]))  # fmt: skip
    for finding in run(name, once):
        assert finding.verdict != "supported"
        assert finite(finding)


def test_an_example_twice_is_refused() -> None:
    """A cell that holds an example twice is an error that names the set, never a silent choice of one."""
    evidence = one_task()
    with pytest.raises(DataError, match="t0/test"):
        run("gain", replace(evidence, items=pl.concat([evidence.items, evidence.items.head(1)])))


def test_the_delta_of_a_study_reaches_its_findings() -> None:
    """`[delta]` of a study file is what its evidence hands to the analysis of that name; an unknown name is refused."""
    table = toy_table() | {"delta": {"gain": 0.2}}
    planned = planning.make(studies.parse(table))
    frame = pl.DataFrame()
    assert analyze.gathered(planned, frame, frame, frame).delta == {"gain": 0.2}
    with pytest.raises(StudyError, match=r"unknown analysis 'gains' at delta.*did you mean 'gain'"):
        studies.parse(table | {"delta": {"gains": 0.2}})
