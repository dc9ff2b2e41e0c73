"""The paper's released scores: the numbers anew, what they give away by rule, and claims that follow the data."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from released_world import World, crossed_table, released_table

from amuro.core.errors import StoreError
from amuro.core.types import Finding
from amuro.paper import changes, claims, data_quality, replicate_noise
from amuro.paper import study as verb
from amuro.paper import tables as numbers
from amuro.paper.claims import learned_gain_less
from amuro.paper.claims._cross_task import Loss
from amuro.paper.figures import figures
from amuro.paper.page import write_released
from amuro.results.analyses.base import Evidence
from amuro.results.importers import _paper_ids as ids
from amuro.results.importers import _paper_sets as facts
from amuro.results.importers import paper
from amuro.results.importers.base import Imported, SetFacts
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.replicates import pooled

GOLDEN = Path(__file__).parent / "golden"
PLACES = [*ids.STEPS, "main"]


@cache
def evidence() -> Evidence:
    """The carried table with its marks."""
    return claims.evidence(paper.carried())


@cache
def judged() -> dict[str, Finding]:
    return {finding.id: finding for finding in claims.judged(evidence())}


def golden(name: str) -> Iterator[tuple[dict[str, str], str, str, str]]:
    """(row, tuned on, task, format) of a golden file, the paper's names resolved."""
    for row in pl.read_csv(GOLDEN / name, infer_schema=False).fill_null("").iter_rows(named=True):
        asked, form = ids.parse_set(row["asked"], facts.sets("sft"))
        tuned_on = "none" if row["tuned_on"] == "none" else facts.trainings()[row["tuned_on"]].task
        yield row, tuned_on, facts.sets("sft")[asked].task, form


def only(table: pl.DataFrame, tuned_on: str, task: str, form: str) -> dict[str, float | None]:
    """The single row of a wide table."""
    found = table.filter((pl.col("tuned_on") == tuned_on) & (pl.col("task") == task) & (pl.col("format") == form))
    return found.row(0, named=True)


def close(text: str, value: float | None, digits: float = 6e-4) -> bool:
    return value is None if text == "" else value is not None and abs(float(text) - value) < digits


def test_scores_are_those_of_the_released_table() -> None:
    """All 78 lines of base and tuned scores agree to the third decimal, and every hole is a hole."""
    tables = {tuned: numbers.score_table(evidence().scores, tuned) for tuned in (True, False)}
    for row, tuned_on, task, form in golden("paper_scores.csv"):
        found = only(tables[tuned_on != "none"], tuned_on, task, form)
        assert all(close(row[place], found[place]) for place in PLACES), (tuned_on, task, form)


def test_changes_and_ratios_are_recomputed() -> None:
    """Raw changes out of domain and ratios across tasks agree with the study's own recomputation."""
    scores = evidence().scores
    tables = {"ratio": numbers.ratio_table(scores), "change": numbers.change_table(scores, "out_of_domain")}
    for row, tuned_on, task, form in golden("paper_changes.csv"):
        found = only(tables[row["kind"]], tuned_on, task, form)
        assert all(close(row[place], found[place]) for place in PLACES), (tuned_on, task)


def test_the_two_directions() -> None:
    """The paper's 61.4 % and 0.3 %, their spread, and the ratio of sums that one outlier does not turn."""
    to_generation, to_class = numbers.directions(evidence().scores).iter_rows(named=True)
    assert to_generation["n"] == to_class["n"] == 32
    assert to_generation["mean_ratio"] == pytest.approx(-0.6146, abs=1e-4)
    assert to_generation["sd"] == pytest.approx(1.062, abs=1e-3)
    assert to_generation["median"] == pytest.approx(-0.986, abs=1e-3)
    assert to_generation["mean_change"] == pytest.approx(-0.0515, abs=1e-4)
    assert to_generation["ratio_of_sums"] == pytest.approx(-0.691, abs=1e-3)
    assert to_class["mean_ratio"] == pytest.approx(0.0031, abs=1e-4)
    assert to_class["sd"] == pytest.approx(0.0345, abs=1e-4)


def test_families_out_of_domain() -> None:
    """Means by family as recomputed from the table; the family of hidden labels has none."""
    found = {row["family"]: row for row in numbers.families(evidence().scores).iter_rows(named=True)}
    wanted = {
        "inference": (16, 0.246, 0.723),
        "summary": (8, -0.003, -0.055),
        "question generation": (16, 0.021, 0.735),
    }
    for family, (n, change, ratio) in wanted.items():
        assert found[family]["n"] == n
        assert found[family]["mean_change"] == pytest.approx(change, abs=1e-3)
        assert found[family]["mean_ratio"] == pytest.approx(ratio, abs=1e-3)
    assert (found["inference"]["low"], found["inference"]["high"]) == pytest.approx((0.184, 0.304), abs=0.01)
    assert found["paraphrase"]["mean_change"] is None
    assert "degenerate" in found["paraphrase"]["state"]


SHOTS = (
    ("mnli", "mnli_matched", "18000", {"0": 0.683, "4": 0.557}),
    ("mnli", "mnli_matched", "424000", {"0": 0.809, "4": 0.784}),
    ("mnli", "mnli_matched", "505000", {"0": 0.813, "4": 0.792}),
    ("mnli", "mnli_matched", "592000", {"0": 0.825, "4": 0.799}),
    ("mnli", "mnli_matched", "main", {"0": 0.821, "4": 0.790}),
    ("mnli", "mnli_mismatched", "main", {"0": 0.832, "4": 0.808}),
    ("mnli", "rte", "main", {"0": 0.649, "4": 0.661}),
    ("socialiqa_question", "socialiqa_question", "main", {"0": 0.722, "4": 0.659}),
    ("socialiqa_question", "sciq_question", "main", {"0": 0.136, "4": 0.050}),
    ("socialiqa_question", "tweetqa_question", "main", {"0": 0.133, "4": 0.123}),
    ("xsum", "xsum", "main", {"0": 0.256, "4": 0.183}),
    ("xsum", "xsum", "1000", {"2": 0.113, "4": 0.094}),
    ("xsum", "xsum", "424000", {"2": 0.165, "4": 0.092}),
    ("paws", "paws", "main", {"4": 0.878, "7": 0.769}),
    ("paws", "qqp", "main", {"0": 0.820, "4": 0.908}),
    ("paws", "stsb", "main", {"0": 0.606, "4": 0.744}),
    ("none", "mnli_matched", "main", {"0": 0.330, "4": 0.327, "7": 0.327}),
    ("none", "rte", "main", {"0": 0.015, "4": 0.241}),
    ("none", "qqp", "main", {"0": 0.129, "4": 1.000}),
    ("none", "stsb", "main", {"0": 0.194, "4": 0.964}),
    ("none", "socialiqa_question", "main", {"0": 0.033, "4": 0.069}),
    ("none", "tweetqa_question", "main", {"0": 0.012, "4": 0.053}),
    *[("none", "xsum", place, {"2": two, "4": four}) for place, two, four in zip(
        ids.STEPS, (0.084, 0.123, 0.119, 0.097, 0.119, 0.117, 0.113), (0.079, 0.119, 0.106, 0.019, 0.108, 0.115, 0.088),
        strict=True)],
    *[("none", "xlsum", place, {"2": two, "4": four}) for place, two, four in zip(
        ids.STEPS, (0.081, 0.105, 0.059, 0.066, 0.082, 0.117, 0.097), (0.076, 0.045, 0.053, 0.059, 0.060, 0.062, 0.061),
        strict=True)],
)  # fmt: skip


@pytest.mark.parametrize(("tuned_on", "task", "place", "wanted"), SHOTS)
def test_numbers_of_shots_side_by_side(tuned_on: str, task: str, place: str, wanted: dict[str, float]) -> None:
    """One model and set under several numbers of shots, as recomputed from the table."""
    table = numbers.shots_table(evidence().scores)
    row = table.filter(
        (pl.col("tuned_on") == tuned_on) & (pl.col("task") == task) & (pl.col("checkpoint") == f"olmo_1b@{place}")
    ).row(0, named=True)
    assert {shots: row[f"{shots} shots"] for shots in wanted} == pytest.approx(wanted, abs=6e-4)


def test_the_replicate_is_as_far_apart_as_recomputed() -> None:
    """Tuned scores in domain differ by .060 in root mean square and .146 at most between checkpoints 20 steps apart."""
    found = {row["score"]: row for row in numbers.replicate_spread(evidence().scores).iter_rows(named=True)}
    assert found["tuned, in domain"]["pairs"] == 6
    assert found["tuned, in domain"]["rms"] == pytest.approx(0.060, abs=1e-3)
    assert found["tuned, in domain"]["largest"] == pytest.approx(0.146, abs=1e-3)


def test_average_change_grows_and_the_false_slope_is_shown() -> None:
    """The mean change at each checkpoint is that of the six sets; the paper's step for the final weights is named."""
    table = numbers.average_changes(evidence().scores)
    by_hand = numbers.change_table(evidence().scores, "in_domain").select(PLACES).mean().row(0)
    assert table["mean_change"].to_list() == pytest.approx(by_hand)
    last, before = table.row(-1, named=True), table.row(-2, named=True)
    slope = (last["mean_change"] - before["mean_change"]) / (750_000 - 738_000) * 100_000
    assert last["slope"] == pytest.approx(slope)
    assert abs(last["slope_tokens"]) > 20 * abs(last["slope"])


def test_the_order_of_rows_changes_nothing() -> None:
    """A table whose rows are shuffled gives the same findings and the same numbers, intervals included."""
    table = paper.carried()
    shuffled = dataclasses.replace(table, scores=table.scores.sample(fraction=1, shuffle=True, seed=3))
    again = claims.evidence(shuffled)
    for name in ("families", "directions", "average_changes"):
        make = getattr(numbers, name)
        for one, other in zip(make(evidence().scores).rows(), make(again.scores).rows(), strict=True):
            assert one == pytest.approx(other)
    for finding in claims.judged(again):
        before = judged()[finding.id]
        assert (finding.verdict, finding.evidence) == (before.verdict, before.evidence)
        assert finding.effect == pytest.approx(before.effect)


# --- by rule --------------------------------------------------------------------------------------------------------


def test_marks_of_the_released_table() -> None:
    """Hidden labels, constant predictions, overflowing prompts and a label that is never right are found."""
    warned = {(r.kind, r.where) for r in data_quality.warnings(evidence().scores)}
    assert {w for k, w in warned if k == "degenerate: constant gold"} == {"qqp", "stsb"}
    assert {w for k, w in warned if k == "prompt overflows"} == {"xsum", "xlsum", "cnn"}
    assert {w for k, w in warned if k == "constant prediction"} == {
        "gpt3nli", "mnli_matched", "mnli_mismatched", "paws", "rte"}  # fmt: skip
    assert ("an answer that is never right", "rte") in warned
    base = evidence().scores.filter(
        (pl.col("tuned_on") == "none") & (pl.col("shots") == 4) & (pl.col("format") == "default")
    )
    paws = base.filter(pl.col("task") == "paws").sort("step")["stuck_on"].to_list()
    assert paws == ["no", "no", None, "no", None, None, "no", "no"]


LABELS = SetFacts("t", "f", "classification", "accuracy", "test", 1000, 0.5, {"yes": 0.6, "no": 0.4}, prompt_tokens=50)


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.001, 0.05))
def test_a_constant_prediction_is_a_score_at_a_prior(value: float, error: float) -> None:
    """The mark is set exactly where a prior lies within two errors, whatever the score."""
    row = _row(value, error)
    found = data_quality.marked(row, {"t": LABELS})["stuck_on"].item()
    near = [name for name, share in LABELS.priors.items() if abs(value - share) <= max(2 * error, data_quality.LEAST)]
    assert (found in near) if near else (found is None)


def test_constant_gold_carries_no_other_mark() -> None:
    """Where one answer is right everywhere a score at a prior says nothing, and no verdict may rest on it."""
    hidden = dataclasses.replace(LABELS, hidden_labels=True, priors={"no": 1.0, "yes": 0.0})
    found = data_quality.marked(_row(1.0, 0.0), {"t": hidden}).row(0, named=True)
    assert found["constant_gold"]
    assert found["stuck_on"] is None


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 50), st.integers(0, 8))
def test_overflow_grows_with_shots(prompt: int, answer: int, shots: int) -> None:
    """A prompt that overflows with k shots overflows with k + 1, and never below the context."""
    sized = dataclasses.replace(LABELS, prompt_tokens=prompt, answer_tokens=answer)
    here, more = data_quality.overflow(sized, shots), data_quality.overflow(sized, shots + 1)
    assert here is None or (here > data_quality.CONTEXT and more is not None and more > here)


def _row(value: float, error: float) -> pl.DataFrame:
    return pl.DataFrame({"task": ["t"], "value": [value], "se": [error], "shots": [4]})


# --- claims ---------------------------------------------------------------------------------------------------------


def test_every_part_of_the_claims_has_its_finding() -> None:
    """Eight stable ids, each with a sentence, a limit, and a state that forces open unless it is measured."""
    assert {"C1a", "C1b", "C1c", "C1d", "C2a", "C2b", "C3", "C4"} <= set(judged())
    for finding in judged().values():
        assert finding.statement
        assert "means and standard errors" in finding.note
        assert finding.evidence == "measured" or finding.verdict == "open"
        assert all(len(f"{v}") < 400 for v in (finding.effect, finding.low, finding.high))


def test_what_the_released_table_supports() -> None:
    """The gain in domain stands; the hidden labels, the constant bases and the confounded groups carry nothing."""
    found = judged()
    assert found["C1a"].verdict == "supported"
    assert found["C1b.paraphrase"].evidence == "degenerate"
    assert found["C1b.summary"].evidence == "insufficient"
    assert found["C1c"].evidence == "insufficient"
    assert "formatting, not knowledge" in found["C1c"].note
    assert found["C1d"].evidence == "degenerate"
    assert found["C3.mnli_matched"].evidence == found["C3.paws"].evidence == "degenerate"
    assert found["C4"].evidence == "insufficient"
    degenerate = set(evidence().scores.filter("constant_gold")["cell"])
    for finding in found.values():
        if finding.effect is not None:
            assert not degenerate & set(finding.cells)


def test_the_replicate_widens_every_interval() -> None:
    """Without the second run there is no noise of runs: trends cannot be judged, and the note says so."""
    table = paper.carried()
    single = dataclasses.replace(table, scores=table.scores.filter(pl.col("checkpoint") != "olmo_1b@main"))
    found = {f.id: f for f in claims.judged(claims.evidence(single))}
    whole = judged()["C1a"]
    assert whole.low is not None
    assert whole.high is not None
    assert found["C1a"].low is not None
    assert found["C1a"].high is not None
    assert found["C1a"].high - found["C1a"].low < (whole.high - whole.low) / 3
    assert "for these weights" in found["C1a"].note
    assert found["C3.socialiqa_question"].evidence == found["C2b"].evidence == "insufficient"


def test_near_replicates_are_one_point() -> None:
    """No curve has two points within half a percent of tokens; the merged one holds two runs."""
    merged = changes.merged(changes.asked(evidence().scores))
    assert merged.filter(pl.col("runs") == 2)["place"].unique().to_list() == [6]
    for finding in judged().values():
        lines: dict[object, list[float]] = {}
        for point in finding.points:
            if "tokens" in point:
                lines.setdefault(point["line"], []).append(float(point["tokens"]))
        for tokens in lines.values():
            assert all(
                later / earlier > 1.05 for earlier, later in zip(sorted(tokens), sorted(tokens)[1:], strict=False)
            )


def test_the_page_of_the_docs_says_what_the_verb_says() -> None:
    """Every row of the claims in docs/paper.md has the verdict, the state and the numbers of its finding."""
    page = (Path(__file__).parents[1] / "docs" / "paper.md").read_text()
    rows = {cells[1]: cells for line in page.splitlines() if len(cells := [c.strip() for c in line.split("|")]) == 7}
    for name in ("C1a", "C1b", "C1c", "C1d", "C2a", "C2b", "C3", "C4"):
        _, _, _, verdict, state, numbers_told, _ = rows[name]
        finding = judged()[name]
        assert (verdict.strip("*"), state) == (finding.verdict, finding.evidence)
        if finding.effect is None or finding.low is None or finding.high is None:
            assert numbers_told == "none"
        else:
            assert numbers_told.startswith(f"{finding.effect:+.3f}, {finding.low:.3f} to {finding.high:.3f}")


# --- scramble -------------------------------------------------------------------------------------------------------


def renamed(table: Imported, names: dict[str, str]) -> Imported:
    """The table with other names for its data sets."""
    new = {old: names.get(old, old) for old in [*table.sets, "mnli"]}
    scores = table.scores.with_columns(
        pl.col("task").replace(new), pl.col("tuned_on").replace(new), pl.col("family").replace({"paraphrase": "f1"})
    )
    sets = {new[t]: dataclasses.replace(f, task=new[t]) for t, f in table.sets.items()}
    return dataclasses.replace(table, scores=scores, sets=sets)


def test_verdicts_do_not_know_names() -> None:
    """With every data set renamed all verdicts, effects and states are the same."""
    table = paper.carried()
    names = {old: f"set{k:02d}" for k, old in enumerate(sorted([*table.sets, "mnli"]))}
    found = claims.judged(claims.evidence(renamed(table, names)))
    warned = {(r.kind, r.where) for r in data_quality.warnings(evidence().scores)}
    again = data_quality.warnings(claims.evidence(renamed(table, names)).scores)
    assert {(r.kind, r.where) for r in again} == {(kind, names[task]) for kind, task in warned}
    key = [(f.analysis, f.verdict, f.evidence, None if f.effect is None else round(f.effect, 9), f.n) for f in found]
    wanted = [(f.analysis, f.verdict, f.evidence, None if f.effect is None else round(f.effect, 9), f.n)
              for f in judged().values()]  # fmt: skip
    assert sorted(map(str, key)) == sorted(map(str, wanted))


def test_degenerate_follows_the_hidden_labels() -> None:
    """Hide the labels of other sets instead: they become degenerate, and the former ones are measured."""
    table = paper.carried()
    hidden = {"sciq_question": True, "tweetqa_question": True, "qqp": False, "stsb": False}
    balanced = {"no": 0.5, "yes": 0.5}
    sets = {
        name: dataclasses.replace(
            f, hidden_labels=hidden.get(name, False), priors=balanced if hidden.get(name) is False else f.priors
        )
        for name, f in table.sets.items()
    }
    found = {f.id: f for f in claims.judged(claims.evidence(dataclasses.replace(table, sets=sets)))}
    assert found["C1b.question_generation"].evidence == "degenerate"
    assert found["C1b.paraphrase"].evidence == "measured"
    assert found["C1b.paraphrase"].effect == pytest.approx(0.14, abs=0.06)


def test_an_overflow_follows_the_lengths() -> None:
    """Short articles carry verdicts; long questions lose theirs."""
    table = paper.carried()
    tokens = {n: 60 if f.family == "summary" else f.prompt_tokens for n, f in table.sets.items()} | {"paws": 900}
    sets = {name: dataclasses.replace(facts, prompt_tokens=tokens[name]) for name, facts in table.sets.items()}
    found = {f.id: f for f in claims.judged(claims.evidence(dataclasses.replace(table, sets=sets)))}
    assert found["C1b.summary"].effect is not None
    assert "paws" not in found["C1a"].statement
    assert "xsum" in found["C1a"].statement


@pytest.mark.parametrize("order_seed", range(6))
def test_trends_follow_the_checkpoints(order_seed: int) -> None:
    """With checkpoints permuted there is no trend to find, and none is supported."""
    table = paper.carried()
    old = table.scores.select("checkpoint", "step", "tokens").unique().sort("step")
    order = np.random.default_rng(order_seed).permutation(old.height)
    moved = old.select("checkpoint").hstack(old[order].select("step", "tokens"))
    scores = table.scores.drop("step", "tokens").join(moved, on="checkpoint").select(table.scores.columns)
    found = {f.id: f for f in claims.judged(claims.evidence(dataclasses.replace(table, scores=scores)))}
    for name in ("C2b", "C3", "C3.socialiqa_question"):
        assert found[name].verdict != "supported"


# --- noise ----------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=6))
def test_units_are_drawn_towards_the_pool(differences: list[float]) -> None:
    """A unit's variance lies between its own and the pool's, and has more degrees of freedom than its pair."""
    found = pooled({f"u{k}": np.array([d]) for k, d in enumerate(differences)})
    assert found is not None
    assert found.df == len(differences)
    for unit, (own, df) in found.own.items():
        variance, more = found.of(unit)
        assert min(own, found.variance) - 1e-12 <= variance <= max(own, found.variance) + 1e-12
        assert more > df


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_intervals_cover_under_unequal_noise(spread: float) -> None:
    """The mean over three models and seven places is covered at least nominally, also where noise differs by model."""
    rng, covered, draws = np.random.default_rng(7), 0, 400
    for _ in range(draws):
        sigma = 0.05 * spread ** rng.choice([-1.0, 1.0], 3)
        runs = rng.normal(0, sigma[:, None], (3, 8))
        pool = pooled({str(m): np.array([runs[m, 7] - runs[m, 6]]) for m in range(3)})
        rows = pl.DataFrame([
            {"tuned_on": str(m), "place": p, "runs": 1 + (p == 6), "se": 0.0, "se_base": 0.0,
             "change": float(runs[m, 6:].mean() if p == 6 else runs[m, p])} for m in range(3) for p in range(7)
        ])  # fmt: skip
        low, high = replicate_noise.weighted(rows, [1 / 21] * 21, pool).interval()
        covered += low <= 0 <= high
    assert covered / draws >= 0.93


WORLDS = (
    ("C1a", World(base=(0.5, 0.5), tuned=(0.5, 0.5)), False),
    ("C1a", World(base=(0.5, 0.5), tuned=(1.3, 1.3)), True),
    ("C1b", World(base=(1.3, 1.3), tuned=(1.3, 1.3), role="out_of_domain"), False),
    ("C1b", World(base=(0.5, 0.5), tuned=(1.3, 1.3), role="out_of_domain"), False),
    ("C1b", World(base=(1.3, 1.3), tuned=(0.3, 0.3), role="out_of_domain"), True),
    ("C2a", World(base=(0.5, 0.5), tuned=(1.3, 1.3)), False),
    ("C2a", World(base=(0.5, 0.5), tuned=(1.3, 1.3), wording=(0.8, 0.8)), True),
    ("C2b", World(base=(0.5, 0.5), tuned=(1.3, 1.3), wording=(0.8, 0.8)), False),
    ("C2b", World(base=(0.5, 0.5), tuned=(1.3, 1.3), wording=(0.1, 1.3)), False),
    ("C2b", World(base=(0.5, 0.5), tuned=(1.3, 1.3), wording=(1.3, 0.1)), True),
    ("C3", World(base=(0.5, 0.5), tuned=(1.3, 1.3)), False),
    ("C3", World(base=(-0.5, 2.0), tuned=(0.0, 4.0)), False),
    ("C3", World(base=(0.0, 0.0), tuned=(0.1, 2.5)), True),
)
"""Claim, truth, and whether it holds there: nulls, a reversed world, a gap that grows while the base rises too."""


@pytest.mark.parametrize(("claim", "truth", "holds"), WORLDS)
def test_claims_in_worlds_of_known_truth(claim: str, truth: World, holds: bool) -> None:
    """A claim is supported where it is true and not where it is false, with noise of runs that differs by model."""
    member, rng = next(c for c in claims.CLAIMS if c.name == claim), np.random.default_rng(11)
    draws = 8
    found = [member.run(claims.evidence(released_table(truth, rng=rng)), rng)[0].verdict for _ in range(draws)]
    supported = found.count("supported") / draws
    assert supported >= 0.72 if holds else supported <= 0.09


ACROSS = {
    "no change": (World(base=(1.0, 1.0), tuned=(1.0, 1.0)), False),
    "gain": (World(base=(0.0, 0.0), tuned=(1.0, 1.0)), False),
    "loss": (World(base=(1.0, 1.0), tuned=(0.0, 0.0)), True),
    "a constant base": (World(base=(-9.0, -9.0), tuned=(-9.0, -9.0)), False),
}


@pytest.mark.parametrize("truth", ACROSS)
@pytest.mark.parametrize(
    ("claim", "kinds"), [("C1c", ("classification", "generation")), ("C1d", ("generation", "classification"))]
)
def test_kinds_are_forgotten_where_they_are(claim: str, kinds: tuple[str, str], truth: str) -> None:
    """C1d is supported where classes are lost and not elsewhere; C1c never, since text alone may be formatting."""
    member, rng, (world, lost) = (
        next(c for c in claims.CLAIMS if c.name == claim),
        np.random.default_rng(12),
        ACROSS[truth],
    )
    found = [member.run(claims.evidence(crossed_table(world, *kinds, rng)), rng)[0] for _ in range(6)]
    supported = sum(finding.verdict == "supported" for finding in found) / len(found)
    assert supported >= 0.72 if lost and claim == "C1d" else supported == 0
    states = {finding.evidence for finding in found}
    assert states == {"degenerate" if truth == "a constant base" else "measured" if claim == "C1d" else "insufficient"}


@pytest.mark.parametrize(
    ("gains", "verdicts"), [((2.0, 0.0), {"supported"}), ((1.5, 1.5), {"open", "refuted"}), ((0.2, 2.0), {"refuted"})]
)
def test_learned_tasks_gain_less_where_groups_are_crossed(gains: tuple[float, float], verdicts: set[str]) -> None:
    """With both groups under both kinds of tuning a smaller gain is found where it is; a common ceiling is not one."""
    rng = np.random.default_rng(5)
    flat = World(base=(-0.5, -0.5), tuned=(gains[0] - 0.5, gains[0] - 0.5), runs=(0.1,) * 4)
    risen = World(base=(-0.5, 1.5), tuned=(gains[1] - 0.5, gains[1] + 1.5), runs=(0.1,) * 4)
    worlds = [dataclasses.replace(world, role=role) for world in (flat, risen) for role in ("in_domain", "instructed")]
    finding = learned_gain_less.ANALYSIS.run(claims.evidence(released_table(*worlds, rng=rng)), rng)[0]
    assert finding.n == 16
    assert finding.verdict in verdicts


def test_confounded_groups_carry_no_verdict() -> None:
    """What is learned is instructed and what is not has its own tuning: the finding names it and stays open."""
    rng = np.random.default_rng(6)
    worlds = World(base=(-0.5, -0.5), tuned=(1.0, 1.0)), World(base=(-0.5, 1.5), tuned=(0.0, 2.0), role="instructed")
    finding = learned_gain_less.ANALYSIS.run(claims.evidence(released_table(*worlds, rng=rng)), rng)[0]
    assert (finding.verdict, finding.evidence) == ("open", "mixed")
    assert "kind of tuning" in finding.note


@settings(deadline=None)
@given(st.floats(0.05, 3), st.floats(0.5, 3), st.floats(0.01, 0.1), st.floats(0.01, 0.1))
def test_the_interval_of_a_loss_is_its_test_turned_round(tuned: float, base: float, a: float, b: float) -> None:
    """A loss of 0 lies in the interval exactly where the test does not reject it."""
    loss = Loss(Estimate.of(tuned, a, 9), Estimate.of(base, b, 9))
    low, high = loss.interval()
    p = loss.p_two_sided()
    assert abs(p - 0.05) < 1e-6 or (low <= 0 <= high) == (p > 0.05)


# --- page and verbs -------------------------------------------------------------------------------------------------


def test_figures_are_drawn_as_far_as_the_table_reaches(tmp_path: Path) -> None:
    """Each of the paper's result figures is drawn or says what it needs; those never released are named."""
    found = {f.number: f for f in figures(evidence().scores)}
    assert not found["3"].panels
    assert not found["15"].panels
    assert "never released" in found["3"].lacking
    assert {n for n, f in found.items() if f.panels} == {"2 and 14", "4 and 11", "5", "6b", "7", "8", "10", "12 and 13"}
    assert "multiple-choice" in found["9"].lacking


def test_the_multiple_choice_table_completes_the_figures(tmp_path: Path) -> None:
    """Given an invented table of that kind, figures 6a, 8 and 9 are whole, and the claim about groups is confounded."""
    rows = [",model_id,eval dataset,Performance"]
    for name, start in {"arc_easy": 0.3, "arc_challenge": 0.2, "openbookqa": 0.26, "hellaswag": 0.26, "sciq": 0.4,
                        "boolq": 0.55}.items():  # fmt: skip
        for k, step in enumerate((*ids.STEPS, "main")):
            base = f"checkpoint-{step}" if step != "main" else "olmo1b_original_hf"
            value = start + 0.04 * min(k, 6)
            rows.append(f"{len(rows)},{base},{name},{value:.3f}")
            place = "main" if step == "main" else f"ckpt{step}"
            rows.append(f"{len(rows)},olmo1b_hf_{place}_tulu_5epoch_2e-6,{name},{value + 0.02:.3f}")
    path = tmp_path / "choice.csv"
    path.write_text("\n".join(rows) + "\n")
    found = verb.judged(verb.load([path]))
    drawn = {f.number: f for f in found.figures}
    assert all(drawn[n].panels and not drawn[n].lacking for n in ("6a", "8", "9"))
    claim = next(f for f in found.findings if f.id == "C4")
    assert (claim.verdict, claim.evidence) == ("open", "mixed")
    assert "kind of tuning" in claim.note
    assert set(found.tables["average_change"]["group"]) == {"in_domain", "instructed"}


def test_the_page_is_whole_and_needs_nothing(tmp_path: Path) -> None:
    """One self-contained page under a strict policy, findings, tables and figures beside it; the same bytes twice."""
    page = write_released(verb.judged(paper.carried()), tmp_path / "a")
    again = write_released(verb.judged(paper.carried()), tmp_path / "b")
    text = page.read_text()
    assert text == again.read_text()
    assert "Content-Security-Policy" in text
    assert "http-equiv" in text
    assert not [word for word in ('src="http', "url(http", "<link", "NaN", ">nan<", "inf<") if word in text]
    assert {f["id"] for f in json.loads((tmp_path / "a" / "findings.json").read_text())["findings"]} == set(judged())
    assert pl.read_csv(tmp_path / "a" / "tables" / "cross_task_directions.csv").height == 2
    assert len(list((tmp_path / "a" / "figures").glob("*.svg"))) > 20


@pytest.mark.parametrize(
    ("row", "std"),
    [
        ("olmo1b_original_hf_4shots,paws,0.5,0.01", True),
        ("olmo1b_hf_main_paws_3epoch_2e-6_4shots,paws,0.9,0.01", True),
        ("olmo1b_hf_main_paws_3epoch_2e-6_4shots,qqp,0.9,0.01", True),
        ("olmo1b_tulu_5epoch_2e-6,gsm,0.03", False),
    ],
)
def test_a_table_of_one_row_is_judged_without_a_number(tmp_path: Path, row: str, std: bool) -> None:
    """A lone base or tuned score supports nothing, says so, and still makes a page."""
    path = tmp_path / "one.csv"
    path.write_text(f",model_id,eval dataset,Performance{',std' if std else ''}\n0,{row}\n")
    found = verb.judged(paper.read([path]))
    assert {(f.verdict, f.effect) for f in found.findings} <= {("open", None)}
    assert write_released(found, tmp_path / "out").is_file()


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """A set named like a script is printed as words."""
    table = renamed(paper.carried(), {"paws": "<script>alert(1)</script>"})
    assert "<script>alert" not in write_released(verb.judged(table), tmp_path).read_text()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """The error names the folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        write_released(verb.judged(paper.carried()), tmp_path / "file")


def test_the_verb_answers_without_torch_or_network(tmp_path: Path) -> None:
    """`amuro paper` from another folder: verdicts and limits on the terminal, a page, no deep-learning library."""
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from amuro.cli.main import main\n"
        "sys.argv = ['amuro', 'paper']\n"
        "try: main()\n"
        "finally: assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("C1a", "C4", "degenerate", "near-replicate", "ratio of sums", "figure 15", "missing rows"):
        assert word in done.stdout
    assert (tmp_path / "amuro-results" / "paper" / "paper.html").stat().st_size > 100_000


def test_import_writes_scores_and_remarks(tmp_path: Path) -> None:
    """`amuro import paper FILE` leaves tidy scores and what is ambiguous; an unknown id ends it with one sentence."""
    good = tmp_path / "table.csv"
    good.write_text(",model_id,eval dataset,Performance,std\n0,olmo1b_original_hf_4shots,sciq,0.16,0.003\n")
    call = [sys.executable, "-m", "amuro", "import", "paper"]
    done = subprocess.run([*call, str(good), "--out", str(tmp_path / "o")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(tmp_path / "o" / "scores.parquet").height == 1
    assert "two meanings" in (tmp_path / "o" / "remarks.csv").read_text()
    good.write_text(",model_id,eval dataset,Performance,std\n0,olmo2,sciq,0.16,0.003\n")
    done = subprocess.run([*call, str(good)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("amuro: table.csv, line 2: model id 'olmo2'")
