"""A seeded synthetic study for the report: 6 checkpoints, 4 tasks, 3 formats, answered by an item-response process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from amuro.analysis import Analysis
from amuro.report.book import Book
from amuro.report.examples import pair_examples
from amuro.report.write import write_report
from amuro.types import Finding

STEPS = (0, 200, 400, 1000, 1400, 3000)
TOKENS_A_STEP = 1024
FORMATS = {"default": 0.0, "instruct": -0.9, "input_output": -0.4}
HOLE = ("world_paraphrase", 1000)
"""(tuned on, step) of which nothing has run."""
LABELS = {
    "world_inference": ["true", "unknown", "false"],
    "world_paraphrase": ["same", "different"],
    "world_reading": ["bogid", "mekul", "tapine", "rovash", "lendor", "sivam", "quorin", "hadel"],
    "world_facts": ["baker", "sailor", "smith", "miller"],
}
KINDS = {"world_inference": "label", "world_paraphrase": "label", "world_reading": "generate", "world_facts": "choice"}
CHANCE = {"world_inference": 1 / 3, "world_paraphrase": 1 / 2, "world_reading": None, "world_facts": 1 / 4}
TUNED_ON = ("world_inference", "world_paraphrase", "world_reading")
METRIC = {"label": "accuracy", "choice": "accuracy", "generate": "exact_match"}
EXAMPLES = 120


@dataclass(frozen=True)
class Asked:
    """One cell of the synthetic grid."""

    step: int
    tuned_on: str
    seed: int
    tune_format: str
    task: str
    split: str
    format: str


def grid() -> Iterator[Asked]:
    """Base models everywhere; tuned models on their own task in all formats, elsewhere in the default one."""
    for step in STEPS:
        for task in KINDS:
            for split in ("test", "test_ood"):
                yield from (Asked(step, "none", -1, "none", task, split, f) for f in FORMATS)
        for tuned_on in TUNED_ON:
            for seed in (0, 1, 2) if step in (1000, 3000) else (0,):
                for task in KINDS:
                    own = task == tuned_on
                    for split in ("test", "test_ood") if own else ("test",):
                        formats = FORMATS if own else ("default",)
                        yield from (Asked(step, tuned_on, seed, "default", task, split, f) for f in formats)


def ability(asked: Asked, rng: np.random.Generator) -> float:
    """Logit of knowing the answer: reading and facts grow in pre-training, inference and paraphrase show when tuned."""
    growth = np.log1p(asked.step / 150)
    base = {"world_inference": -6.0, "world_paraphrase": -6.0, "world_reading": -5 + 2.7 * growth, "world_facts": -4 + 1.7 * growth}
    level = base[asked.task]
    if asked.tuned_on == asked.task:
        level = -5 + 2.9 * growth if asked.task != "world_reading" else -1 + 2.0 * growth
        level -= 0.6 * (asked.split == "test_ood")
    elif asked.tuned_on != "none":
        level -= 1.6
    return level + FORMATS[asked.format] + rng.normal(0, 0.4) * (asked.tuned_on != "none")


def answers(asked: Asked, rng: np.random.Generator) -> pl.DataFrame:
    """The rows of one cell: example, cluster, gold, predicted, value."""
    labels = LABELS[asked.task]
    fixed = np.random.default_rng(abs(hash_text(asked.task + asked.split)))
    gold = fixed.integers(0, len(labels), EXAMPLES)
    difficulty = fixed.normal(0, 1, EXAMPLES) + np.repeat(fixed.normal(0, 0.7, EXAMPLES // 2), 2)
    knows = rng.random(EXAMPLES) < 1 / (1 + np.exp(difficulty - ability(asked, rng)))
    guess = np.zeros(EXAMPLES, int) if asked.tuned_on == "none" and KINDS[asked.task] == "label" else rng.integers(0, len(labels), EXAMPLES)
    said = np.where(knows, gold, guess)
    return pl.DataFrame(
        {
            "example_id": [f"{asked.task}-{asked.split}-{k:03d}" for k in range(EXAMPLES)],
            "cluster": [f"person-{k // 2:02d}" for k in range(EXAMPLES)],
            "gold": [labels[k] for k in gold],
            "predicted": [labels[k] for k in said],
            "value": (said == gold).astype(float),
        }
    )


def hash_text(text: str) -> int:
    """A small number that only the text decides."""
    return sum((k + 1) * ord(character) for k, character in enumerate(text))


def address(asked: Asked) -> str:
    tuned = "" if asked.tuned_on == "none" else f"+{asked.tuned_on}-1f3a9c/seed{asked.seed}"
    return f"world-5e1f00@{asked.step}{tuned}|{asked.task}/{asked.split}|{asked.format}|0shot.0|likelihood|own|n{EXAMPLES}|bf16|cpu"


def coordinates(asked: Asked) -> dict[str, object]:
    """All columns of a cell."""
    role = "base" if asked.tuned_on == "none" else "cross_task" if asked.task != asked.tuned_on else (
        "in_domain" if asked.split == "test" else "out_of_domain"
    )  # fmt: skip
    return {
        "series": "world", "checkpoint": f"world-5e1f00@{asked.step}", "step": asked.step, "tokens": asked.step * TOKENS_A_STEP,
        "tuned_on": asked.tuned_on, "recipe": asked.tuned_on, "method": "none" if asked.tuned_on == "none" else "full",
        "tune_format": asked.tune_format, "tune_seed": asked.seed, "learning_rate": None if asked.seed < 0 else 2e-3,
        "task": asked.task, "split": asked.split, "role": role, "family": asked.task.removeprefix("world_"),
        "kind": KINDS[asked.task], "format": asked.format, "shots": 0, "shot_seed": 0, "decoding": "likelihood",
        "protocol": "own", "precision": "bf16", "device": "cpu", "limit": EXAMPLES, "cell": address(asked),
        "metric": METRIC[KINDS[asked.task]],
    }  # fmt: skip


def frames(study_seed: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(items, scores, planned)."""
    rng = np.random.default_rng(study_seed)
    asked = list(grid())
    done = [cell for cell in asked if (cell.tuned_on, cell.step) != HOLE]
    items = pl.concat(
        [answers(cell, rng).with_columns(**{k: pl.lit(v, pl.Float64 if v is None else None) for k, v in coordinates(cell).items()}) for cell in done]
    ).with_columns(prompt_hash=pl.col("format") + "/" + pl.col("example_id"), k_effective=0)
    planned = pl.DataFrame({"cell": [address(c) for c in asked], "done": [(c.tuned_on, c.step) != HOLE for c in asked]})
    return items, pl.concat([_scores(items), _corpus()], how="diagonal_relaxed"), planned


def _scores(items: pl.DataFrame) -> pl.DataFrame:
    outcome = {"example_id", "cluster", "gold", "predicted", "value", "prompt_hash", "k_effective"}
    keys = [name for name in items.columns if name not in outcome]
    top = pl.col("predicted").value_counts(sort=True).first().struct.field("count") / pl.len()
    majority = pl.col("gold").value_counts(sort=True).first().struct.field("count") / pl.len()
    label = pl.col("kind").first() == "label"
    return items.group_by(keys, maintain_order=True).agg(
        pl.col("value").mean(), se=pl.col("value").std() / pl.len().sqrt() * 1.15, n=pl.len().cast(pl.Int64),
        clusters=pl.col("cluster").n_unique().cast(pl.Int64), top_share=pl.when(label).then(top), majority=pl.when(label).then(majority),
        evidence=pl.when(label & (top >= 0.99)).then(pl.lit("degenerate")).otherwise(pl.lit("measured")),
        predicted_histogram=pl.lit("{}"),
    ).with_columns(chance=pl.col("task").replace_strict(CHANCE, return_dtype=pl.Float64))  # fmt: skip


def _corpus() -> pl.DataFrame:
    rows = [
        coordinates(Asked(step, "none", -1, "none", "world_facts", "test", "default"))
        | {"task": "world_corpus", "kind": "document", "family": "corpus", "metric": "bits_per_byte", "role": "corpus",
           "value": 2.9 - 0.24 * float(np.log1p(step / 20)), "se": 0.02, "n": 200, "clusters": 200, "evidence": "measured",
           "cell": f"world-5e1f00@{step}|world_corpus/test|default", "predicted_histogram": "{}"}
        for step in STEPS
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"learning_rate": pl.Float64}, infer_schema_length=None)


def prompt_of(found: str) -> str:
    """A prompt such as the world would word it."""
    form, name = found.split("/")
    task = name.rsplit("-", 2)[0]
    body = {
        "world_inference": "premise : every morning bogid feeds the tapine near the river .\nclaim : bogid keeps an animal .\nanswer :",
        "world_paraphrase": "first : mekul went to the market .\nsecond : mekul visited the market .\nanswer :",
        "world_reading": "rovash gave the lamp to lendor . lendor gave it to sivam .\nwho has the lamp ?\nanswer :",
        "world_facts": "what is the job of quorin ?\nanswer :",
    }[task]
    return f"Read carefully and answer.\n\n{body}" if form == "instruct" else body


def findings(scores: pl.DataFrame, planned: pl.DataFrame) -> list[Finding]:
    """Sentences of the usual shapes: over tokens, over named rows, without points, degenerate and not run."""
    return [
        *(_latent(scores, task) for task in ("world_inference", "world_paraphrase", "world_reading")),
        *(_gain(scores, task) for task in TUNED_ON),
        *(_forgetting(scores, tuned_on) for tuned_on in TUNED_ON),
        *(_formats(scores, task) for task in ("world_inference", "world_reading")),
        _finding("learned_gains_less", "", "Tasks that the base has learned gain less from tuning.", "open", "insufficient",
                 None, None, None, 4, "data sets", note="Four data sets are too few: at least eight are needed."),
    ]  # fmt: skip


def _finding(analysis: str, task: str, statement: str, verdict: str, evidence: str, effect: float | None, low: float | None,
             high: float | None, n: int, unit: str, note: str = "", points: tuple = (), cells: tuple = ()) -> Finding:  # fmt: skip
    return Finding(f"{analysis}.{task or 'all'}", analysis, statement, verdict, evidence, effect, low, high, n, unit, 0.05, analysis,
                   None if effect is None else 0.012, "world", cells, note, task, points)  # fmt: skip


def _plain(scores: pl.DataFrame, task: str, tuned_on: str, **where: str) -> pl.DataFrame:
    asked = {"format": "default", "split": "test", **where}
    rows = scores.filter(*(pl.col(k) == v for k, v in asked.items()), pl.col("task") == task, pl.col("tuned_on") == tuned_on)
    return rows.group_by("tokens").agg(pl.col("value", "se", "chance").mean(), pl.col("cell")).sort("tokens")


def _points(rows: pl.DataFrame, name: str, hole: tuple[str, int] | None = None) -> list[dict]:
    points = [
        {"line": name, "tokens": r["tokens"], "value": r["value"], "low": r["value"] - 1.96 * r["se"], "high": r["value"] + 1.96 * r["se"]}
        | ({} if r["chance"] is None else {"chance": r["chance"]})
        for r in rows.iter_rows(named=True)
    ]
    have = {p["tokens"] for p in points}
    missing = [s * TOKENS_A_STEP for s in STEPS if s * TOKENS_A_STEP not in have]
    return points + [{"line": name, "tokens": t, "value": None, "low": None, "high": None} for t in missing]


def _latent(scores: pl.DataFrame, task: str) -> Finding:
    base, tuned = _plain(scores, task, "none"), _plain(scores, task, task)
    rise = (tuned["value"][-1] - tuned["value"][0]) - (base["value"][-1] - base["value"][0])
    flat = abs(base["value"][-1] - base["value"][0]) < 0.05
    words = task.removeprefix("world_")
    cells = tuple(c for row in (*base["cell"], *tuned["cell"]) for c in row)
    if task == "world_paraphrase":
        return _finding("latent_gain", task, "Whether pre-training helps paraphrase in a way that only tuning shows is not decided.", "open",
                        "not run", rise, rise - 0.1, rise + 0.1, 5, "checkpoints", "One checkpoint was not tuned.",
                        (*_points(base, "base"), *_points(tuned, "tuned")), cells + ("world-5e1f00@1000+world_paraphrase-1f3a9c/seed0|world_paraphrase/test|default|0shot.0|likelihood|own|n120|bf16|cpu",))  # fmt: skip
    statement = (
        f"Pre-training helps {words} in a way that shows only after tuning." if flat
        else f"No hidden gain in {words}: what pre-training teaches, the base already shows."
    )  # fmt: skip
    return _finding("latent_gain", task, statement, "supported" if flat else "refuted", "measured", rise, rise - 0.09, rise + 0.09, 6,
                    "checkpoints", "In this one pre-training run; three tuning seeds at two checkpoints.",
                    (*_points(base, "base"), *_points(tuned, "tuned")), cells)  # fmt: skip


def _gain(scores: pl.DataFrame, task: str) -> Finding:
    base, tuned = _plain(scores, task, "none"), _plain(scores, task, task)
    joined = base.join(tuned, on="tokens", suffix="_tuned")
    points = tuple(
        {"line": "gain", "tokens": r["tokens"], "value": r["value_tuned"] - r["value"], "low": r["value_tuned"] - r["value"] - 0.08,
         "high": r["value_tuned"] - r["value"] + 0.08}
        for r in joined.iter_rows(named=True)
    )  # fmt: skip
    last = points[-1]
    return _finding("gain", task, f"Tuning on {task.removeprefix('world_')} helps at the last checkpoint.", "supported" if last["low"] > 0 else "open",
                    "measured", last["value"], last["low"], last["high"], 60, "clusters", points=points, cells=tuple(tuned["cell"][-1]))  # fmt: skip


def _forgetting(scores: pl.DataFrame, tuned_on: str) -> Finding:
    others = [task for task in KINDS if task != tuned_on]
    points = []
    for step in (400, 3000):
        for task in others:
            pair = [_plain(scores, task, name).filter(pl.col("tokens") == step * TOKENS_A_STEP)["value"] for name in ("none", tuned_on)]
            change = pair[1][0] - pair[0][0] if len(pair[1]) and len(pair[0]) else None
            points.append({"line": f"after step {step}", "x": task.replace("_", " "), "value": change,
                           "low": None if change is None else change - 0.07, "high": None if change is None else change + 0.07})  # fmt: skip
    worst = min(p["value"] for p in points if p["value"] is not None)
    return _finding("forgetting", tuned_on, f"Tuning on {tuned_on.removeprefix('world_')} makes the model worse at something else.",
                    "supported" if worst < -0.12 else "open", "measured", -worst, -worst - 0.07, -worst + 0.07, 60, "clusters",
                    "Compared with two seeds of the same tuning.", tuple(points))  # fmt: skip


def _formats(scores: pl.DataFrame, task: str) -> Finding:
    points = tuple(p for form in FORMATS for p in _points(_plain(scores, task, task, format=form), f"asked as {form}"))
    return _finding("format_sensitivity", task, f"The tuned model's {task.removeprefix('world_')} depends on the wording of the question.", "supported",
                    "measured", 0.21, 0.11, 0.30, 60, "clusters", points=points)  # fmt: skip


ANALYSES = [
    Analysis(name, question, name, 0.05, unit, formula, source, lambda evidence, rng: [])
    for name, question, unit, formula, source in (
        ("gain", "Does tuning help on the task that it was tuned on?", "clusters", "mean over clusters of tuned − base", "arXiv 2411.00640"),
        ("latent_gain", "Does pre-training teach something that only tuning brings to light?", "checkpoints",
         "TOST on the base slope and a one-sided test on the slope of tuned − base over log tokens", "intersection–union test"),
        ("forgetting", "What does tuning take away?", "clusters", "right → wrong beyond the churn between seeds", "arXiv 2510.17776"),
        ("format_sensitivity", "Does the wording of the question matter?", "clusters", "between-format variance on the logit scale", ""),
        ("learned_gains_less", "Do tasks gain less that were learned already?", "data sets", "errors-in-variables slope", ""),
    )
]  # fmt: skip


def make_book(study_seed: int = 7) -> Book:
    """The whole synthetic study as a book."""
    items, scores, planned = frames(study_seed)
    metrics = {task: METRIC[kind] for task, kind in KINDS.items()}
    return Book(
        study={
            "name": "demo",
            "question": "What does a small model learn while it reads, and what does tuning bring to light?",
            "description": ["A tiny language model reads a made-up world. At six points on the way its weights are kept; each copy is taught "
                            "three tasks, and all are asked the same questions before and after."],
            "seeds": {"world_seed": 4, "pretrain_seed": 4, "tune_seeds": [0, 1, 2]}, "engine": "toy", "precision": "bf16",
        },
        series=[
            {"checkpoint": f"world-5e1f00@{s}", "step": s, "tokens": s * TOKENS_A_STEP, "unique_tokens": s * TOKENS_A_STEP,
             "schedule": "initial" if s == 0 else "constant"}
            for s in STEPS
        ],
        findings=findings(scores, planned),
        analyses=ANALYSES,
        flags=[
            *({"name": "constant predictor", "where": f"base, step {s}, world paraphrase", "detail": "says “same” to everything"} for s in STEPS),
            {"name": "no gain from tuning", "where": "world inference, step 0", "detail": "gain 0.01 [−0.06, 0.08]"},
            {"name": "significant forgetting", "where": "world facts after tuning on reading", "detail": "0.31 → 0.14 at step 3,000"},
        ],
        scores=scores,
        items=items,
        examples=pair_examples(items, metrics, prompt_of),
        ledger=pl.DataFrame({"visit": [f"world-5e1f00@{s}" for s in STEPS], "seconds": [31.2 + s / 90 for s in STEPS],
                             "tokens": [410_000 + s for s in STEPS], "flops": [3.1e12 + s for s in STEPS],
                             "peak_memory_mb": [812.0 + s / 50 for s in STEPS]}),
        planned=planned,
        environment={"python": "3.11.2", "torch": "2.13.0", "machine": "2 cores, x86_64"},
        baselines=[{"task": "world_inference", "split": "test", "name": "bag of words", "value": 0.41},
                   {"task": "world_inference", "split": "test", "name": "hypothesis only", "value": 0.35},
                   {"task": "world_paraphrase", "split": "test", "name": "bag of words", "value": 0.55},
                   {"task": "world_reading", "split": "test", "name": "constant string", "value": 0.14}],
    )  # fmt: skip


if __name__ == "__main__":
    print(write_report(make_book(), Path(sys.argv[1])))
