"""A metric belongs to its task wherever it lives and whichever way it counts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import SEEDS, STEPS, Exam, SimulatedStudy, task, tune

from amuro.core import registry
from amuro.core.errors import DataError, StudyError
from amuro.core.types import Finding
from amuro.report import build, formatting
from amuro.report.compare.page import write_beside
from amuro.report.exporters import _write
from amuro.report.study_json import kept
from amuro.report.write import write_report
from amuro.results import analyze, flags
from amuro.results.analyses.base import Evidence
from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.store import Store
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import Context, Metric

OWN = "own_metrics.error"


# -- the mirror


@cache
def world(metric: str, chance: float | None, kind: str) -> Evidence:
    """A study with something for every analysis: two tasks, a mixture of both, other sets, formats, six checkpoints."""
    book, rng = SimulatedStudy(), np.random.default_rng(5)
    exams = {name: Exam.draw(rng, 97, 56) for name in ("t0", "t1", "far", "ood")}
    about = {name: task(name, chance, metric, kind) for name in ("t0", "t1", "far")}
    for step, base, tuned, seeds in zip(STEPS, (-2, -1, 0, 0.4, 0.8, 1), (-1, 0, 1, 2, 2.4, 3), SEEDS, strict=True):
        for name in ("t0", "t1"):
            for wording, less in (("default", 0.0), ("instruct", 1.2)):
                at = {"role": "in_domain", "step": step, "seeds": seeds, "wording": wording}
                tune(book, about[name], exams[name], rng, base=base - less, tuned=tuned - less, **at)
        at = {"tuned_on": "t0", "step": step, "seeds": seeds}
        tune(book, about["far"], exams["far"], rng, base=base + 1, tuned=base - 0.5, role="cross_task", **at)
        tune(book, about["t0"], exams["ood"], rng, base=base, tuned=tuned - 1, split="ood", role="out_of_domain", **at)
    return book.evidence()


def mirrored(evidence: Evidence, metric: str) -> Evidence:
    """The same study under a metric that counts the other way round."""
    turn = load_metric(metric).oriented

    def turned(frame: pl.DataFrame) -> pl.DataFrame:
        known = [name for name in ("value", "chance") if name in frame.columns]
        kind = frame.schema["metric"]
        return frame.with_columns(
            *(turn(pl.col(name).cast(pl.Float64)) for name in known), metric=pl.lit(metric).cast(kind)
        )

    tasks = {name: replace(about, metric=metric) for name, about in evidence.tasks.items()}
    return Evidence(turned(evidence.items), turned(evidence.scores), tasks, evidence.study)


def said(evidence: Evidence) -> list[Finding]:
    """What every analysis finds."""
    return analyze.findings(studies.parse(table("exact_match")), evidence)


@pytest.mark.parametrize(
    ("up", "down", "chance", "kind"),
    [
        ("own_metrics.right", "own_metrics.wrong", 1 / 4, "classification"),
        ("own_metrics.up", "own_metrics.down", None, "generation"),
    ],
)
def test_every_finding_of_a_mirrored_metric_is_the_mirrored_finding(
    up: str, down: str, chance: float | None, kind: str
) -> None:
    """Values and direction negated together change no verdict, no effect and no flag of any analysis."""
    straight = world(up, chance, kind)
    turned = mirrored(straight, down)
    pairs = list(zip(said(straight), said(turned), strict=True))
    assert sum(one.evidence == "measured" for one, _ in pairs) > 8
    assert {one.verdict for one, _ in pairs} >= {"supported", "refuted"}
    for one, other in pairs:
        assert (one.id, one.verdict, one.evidence, one.n) == (other.id, other.verdict, other.evidence, other.n)
        for name in ("effect", "low", "high", "delta", "p_adjusted"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-9, nan_ok=True), (one.id, name)
        assert one.note == other.note.replace(down, up)
    named = [[(f.name, f.where) for f in flags.flags(e.scores, e.items, e.tasks)] for e in (straight, turned)]
    assert named[0] == named[1]


def test_a_falling_error_rate_is_a_gain() -> None:
    """From .40 to .12 an error rate is better, said in its own numbers, and the finding is supported."""
    straight = world("own_metrics.right", 1 / 4, "classification")
    gain = next(f for f in said(mirrored(straight, "own_metrics.wrong")) if f.id == "gain.t0")
    before, after = map(float, re.findall(r"from ([\d.]+) to ([\d.]+)", gain.statement)[0])
    assert (gain.verdict, before > after) == ("supported", True)
    marks = {mark["line"]: mark for mark in gain.points if mark["step"] == STEPS[-1]}
    assert marks["base"]["value"] == pytest.approx(before, abs=0.01)
    assert all(mark["low"] <= mark["value"] <= mark["high"] for mark in gain.points)
    assert {mark["chance"] for mark in gain.points} == {3 / 4}


def test_where_the_score_of_guesses_is_unknown_nothing_is_measured() -> None:
    """A metric of labels that states no chance gives no finding that is measured, whatever its values."""
    found = said(world("own_metrics.right", None, "classification"))
    assert {f.verdict for f in found} == {"open"}
    assert "measured" not in {f.evidence for f in found}
    assert any("The chance score of" in f.note for f in found)


# -- what a plan refuses


def table(metric: str, folder: Path | str = "nowhere", **changes: Any) -> dict[str, Any]:
    own = {"source": f"file:{folder}", "fields": {"q": "Question"}, "answer": "a", "metric": metric,
           "splits": {"train": "train", "test": "test"}, "cluster": "q"}  # fmt: skip
    return {
        "name": "own", "engine": "toy", "series": {"t": {"kind": "toy", "steps": [10, 1000, 100000]}},
        "toy": {"gain": 0.9},
        "tasks": {"mine": own | changes},
        "tune": [{"name": "t", "tasks": ["mine"], "rows": 20, "learning_rate": 1e-3, "in_domain": ["mine/test"]}],
        "evaluate": [{"models": ["base", "tuned"], "sets": ["mine/test"]}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "said", "changes"),
    [
        ("bananas", "unknown name 'bananas' among metrics", {}),
        ("exakt_match", "did you mean 'exact_match'", {}),
        ("no_such.metrics.err", "there is no module 'no_such.metrics.err'", {}),
        ("own_metrics", "unknown name 'own_metrics'", {}),
        ("own_metrics.nothing", "has no METRIC", {}),
        ("own_metrics.number", "METRIC of 'own_metrics.number' is a int", {}),
        ("accuracy", "judges tasks of kind classification, multiple_choice, and the task is of kind generation", {}),
        ("rouge_l", "judges tasks of kind generation, and the task is of kind classification", {"labels": ["x", "y"]}),
        ("balanced_accuracy", "findings need one for each example", {"labels": ["x", "y"]}),
        ("calibrated_accuracy", "the task has no split 'dev'", {"labels": ["x", "y"]}),
        ("accuracy_unconditional", "the task names none", {"options": "o"}),
    ],
)
def test_a_metric_that_cannot_judge_its_task_is_refused_by_the_plan(
    metric: str, said: str, changes: dict[str, Any]
) -> None:
    """Unknown, misspelt and unfit metrics stop before anything runs, with the task's name and a cure."""
    with pytest.raises(StudyError) as refused:
        planning.make(studies.parse(table(metric, **changes)))
    assert said in str(refused.value)
    assert "mine" in str(refused.value)


# -- the whole way


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Store, analyze.Results]:
    """A study of a dotted, lower-is-better metric, run by the toy engine."""
    folder = tmp_path_factory.mktemp("own")
    rows = [{"id": str(i), "q": f"question {i}", "a": f"word{i % 7} end"} for i in range(120)]
    for split in ("train", "test"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan, store = planning.make(studies.parse(table(OWN, folder))), Store(folder / "store")
    assert run(plan, store, lambda event: None).failures == []
    return plan, store, analyze.results(plan, store)


def test_a_metric_of_ones_own_is_computed_and_judged(finished: tuple[Any, Store, analyze.Results]) -> None:
    """Scores hold it under its dotted name beside the shipped ones', and the gain is a fall in its own numbers."""
    _, _, found = finished
    rows = found.evidence.scores.filter(pl.col("metric") == OWN)
    assert rows.height == 6
    assert set(found.evidence.scores["metric"]) > {OWN, "exact_match", "rouge_l"}
    gain = next(f for f in found.findings if f.analysis == "gain")
    before, after = map(float, re.findall(r"from ([\d.]+) to ([\d.]+)", gain.statement)[0])
    assert (gain.evidence, OWN in gain.statement, before > after, gain.effect and gain.effect > 0) == (
        "measured", True, True, True,
    )  # fmt: skip
    assert not [flag for flag in found.flags if flag.name == flags.NO_GAIN and "@100000" in flag.where]


def test_report_and_exports_know_which_way_it_counts(
    finished: tuple[Any, Store, analyze.Results], tmp_path: Path
) -> None:
    """The page names it in words and its direction; lm_eval's file and study.json say that lower is better."""
    plan, store, found = finished
    book = build.book(plan, store, found)
    page = write_report(book, tmp_path / "report").read_text(encoding="utf-8")
    assert "first-word errors (lower is better)" in page
    assert book.changes["won"].sum() > book.changes["lost"].sum()
    assert json.loads((tmp_path / "report/study.json").read_text(encoding="utf-8"))["lower_is_better"] == [OWN]
    texts = _write.kinds(["lm_eval", "csv", "markdown", "latex"])
    for path in _write.write(build.source(plan, store, found), texts, tmp_path):
        if path.name == "results_amuro.json":
            assert {way[OWN] for way in json.loads(path.read_text(encoding="utf-8"))["higher_is_better"].values()} == {
                False
            }


def test_a_comparison_shades_a_rise_of_errors_as_worse(
    finished: tuple[Any, Store, analyze.Results], tmp_path: Path
) -> None:
    """B has more errors than A: the square is coloured as a fall, though the metric need not be at hand."""
    plan, store, found = finished
    left = kept(build.book(plan, store, found))
    more = left.scores.with_columns(
        pl.when(pl.col("metric") == OWN).then(pl.col("value") + 0.2).otherwise(pl.col("value")).alias("value")
    )
    write_beside(left, replace(left, scores=more), tmp_path)
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert set(re.findall(r'class="shade-(up|down)-', page)) == {"down"}


def test_the_best_rate_has_the_fewest_errors(tmp_path: Path) -> None:
    """A choice among learning rates on dev takes the lowest error, and says the score that decided."""
    rows = [{"id": str(i), "q": f"question {i}", "a": f"word{i % 7} end"} for i in range(120)]
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = table(OWN, tmp_path, splits={"train": "train", "dev": "dev", "test": "test"})
    made["tune"][0]["learning_rate"] = [1e-3, 1e-5, 3e-3]
    made["series"]["t"]["steps"] = [100000]
    plan, store = planning.make(studies.parse(made)), Store(tmp_path / "store")
    run(plan, store, lambda event: None)
    (choice,) = [m for m in store.manifests("models") if "chosen_for" in m]
    cells = [result for results_of in store.cells().values() for result in results_of]
    dev = {m["coordinates"]["learning_rate"]: m for m in cells if m["coordinates"]["split"] == "dev"}
    metric = load_metric(OWN)
    errors = {
        rate: metric.score(store.frame(m, "predictions.parquet"), Context(plan.tasks["mine"]))  # type: ignore[arg-type]
        for rate, m in dev.items() if rate is not None
    }  # fmt: skip
    assert len(set(errors.values())) > 1
    assert errors[choice["learning_rate"]] == min(errors.values())
    assert dict(choice["dev_scores"]) == pytest.approx({rate: 1 - error for rate, error in errors.items()})


# -- chance


def test_chance_is_the_mean_of_one_over_the_options_that_were_asked(tmp_path: Path) -> None:
    """Of options of differing number the chance of a cell is that of its own rows, not of the whole set."""
    rows = [
        {"id": str(i), "q": f"question {i}", "o": [f"o{k}" for k in range(2 + i % 4)], "a": f"o{i % 2}"}
        for i in range(120)
    ]
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = table("accuracy", tmp_path, options="o")
    made["evaluate"][0]["limit"] = 6
    plan, store = planning.make(studies.parse(made)), Store(tmp_path / "store")
    assert run(plan, store, lambda event: None).failures == []
    found = analyze.results(plan, store)
    asked = found.evidence.scores.filter((pl.col("metric") == "accuracy") & (pl.col("split") == "test"))
    assert asked["chance"].to_list() == pytest.approx([np.mean([1 / (2 + i % 4) for i in range(6)])] * asked.height)
    likelihood = found.evidence.scores.filter(pl.col("metric") == "log_likelihood")
    assert likelihood["chance"].null_count() == likelihood.height


def test_an_ability_at_chance_cannot_be_forgotten() -> None:
    """A base at the mean of 1/k, by options alone, gives *insufficient* and no number, though the score falls."""
    book, rng = SimulatedStudy(), np.random.default_rng(1)
    about = replace(task("odd", 0.308, "accuracy", "multiple_choice"), chance=None)
    exam = Exam.draw(rng, 400, 80)
    book.add(about, exam, (rng.random(400) < 0.32).astype(float), chance=0.308)
    for seed in range(3):
        values = (rng.random(400) < 0.14).astype(float)
        book.add(about, exam, values, tuned_on="other", role="cross_task", tune_seed=seed, chance=0.308)
    (found,) = [f for f in said(book.evidence()) if f.analysis == "forgetting"]
    assert (found.verdict, found.evidence, found.effect) == ("open", "insufficient", None)
    assert "does not clear chance" in found.note


# -- what is no number


@pytest.mark.parametrize(
    ("rows", "facts", "said"),
    [
        (lambda p, c: pl.Series([0.5, float("nan")]), {}, "gives nan to example b, which is no number"),
        (lambda p, c: pl.Series([0.5, None]), {}, "gives None to example b, which is no number"),
        (lambda p, c: pl.Series([0.5, 57.3]), {}, "gives 57.3 to example b, and says that its values lie from 0 to 1"),
        (lambda p, c: pl.Series([1.0, 0.5]), {"binary": True}, "gives 0.5 to example b, and says that it is binary"),
        (lambda p, c: pl.Series([1.0]), {}, "gives 1 values for 2 rows"),
        (lambda p, c: p["no_such_column"], {}, "raises ColumnNotFoundError"),
        (lambda p, c: pl.Series([1 / 0]), {}, "raises ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_score_stops_by_name(rows: Any, facts: dict[str, Any], said: str) -> None:
    """NaN, nothing, values out of range or too few, and errors of a metric name the metric, the task and the row."""
    metric = Metric("mine.err", "", ("generation",), True, rows, **facts)
    predictions = pl.DataFrame({"example_id": ["a", "b"], "output": ["x", "y"], "gold": ["x", "y"]})
    with pytest.raises(DataError, match=re.escape(f"metric mine.err {said}")) as refused:
        metric.score(predictions, Context(task("t0")))
    assert "task 't0'" in str(refused.value)


@given(st.lists(st.floats(0, 1), min_size=1), st.booleans(), st.booleans())
@settings(max_examples=30)
def test_turning_values_round_twice_changes_nothing(values: list[float], higher: bool, share: bool) -> None:
    """`oriented` puts the best value on top, and is its own inverse."""
    metric = Metric("m", "", ("generation",), higher, None, share=share)
    there = metric.oriented(np.array(values))
    assert metric.oriented(there) == pytest.approx(np.array(values))
    assert (np.argmax(there) == np.argmin(values)) or higher or len(set(values)) > 1


# -- nobody knows a metric by name

KNOW = ("metrics/", "tasks/", "importers/", "metric.py", "own_task.py", "recipes/")
"""Where metrics are, tasks that choose one, and the paper's own tables."""


def test_no_other_file_knows_a_metric_by_name() -> None:
    """Outside their folder and the tasks that choose from it, no code holds the name of a metric."""
    source = Path(registry.__file__).parent
    names = set(registry.names("metrics")) - {"stopped"}  # a column of the predictions is called so too
    quoted = re.compile("|".join(rf"[\"']{name}[\"']" for name in names))
    files = {str(path.relative_to(source)): path.read_text(encoding="utf-8") for path in source.rglob("*.py")}
    knowing = {name for name, text in files.items() if quoted.search(text) and not name.startswith(KNOW)}
    assert knowing == set()


def test_words_of_a_metric_come_from_the_metric() -> None:
    """Labels, direction and range in print are what the metric states; a metric that is not at hand has its name."""
    assert formatting.metric_words("rouge_l") == "ROUGE-L"
    assert formatting.metric_words("bits_per_byte") == "bits per byte (lower is better)"
    assert formatting.metric_words(OWN) == "first-word errors (lower is better)"
    assert formatting.metric_words("gone.metrics.far_away") == "gone.metrics.far away"
    assert [formatting.is_share(name) for name in ("accuracy", "bits_per_byte", OWN)] == [True, False, True]
