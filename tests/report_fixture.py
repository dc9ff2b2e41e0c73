"""A seeded synthetic study for the report: 6 checkpoints, 4 tasks, 3 formats, answered by an item-response process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from amuro.core.types import Finding
from amuro.report.examples import choose_examples, count_changes, pairs
from amuro.report.model import ReportData
from amuro.report.write import write_report
from amuro.results.analyses.base import Analysis

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
KINDS = {
    "world_inference": "classification",
    "world_paraphrase": "classification",
    "world_reading": "generation",
    "world_facts": "multiple_choice",
}
CHANCE = {"world_inference": 1 / 3, "world_paraphrase": 1 / 2, "world_reading": None, "world_facts": 1 / 4}
TUNED_ON = ("world_inference", "world_paraphrase", "world_reading")
METRIC = {"classification": "accuracy", "multiple_choice": "accuracy", "generation": "exact_match"}
EXAMPLES = 120


HOSTILE = (
    "<script>document.body.id='fired'</script>",
    "</script><script>document.body.id='fired'</script>",
    "<img src=x onerror=\"document.body.id='fired'\">",
    "\"'><svg onload=document.body.id='fired'>",
    "{{ 7 * 7 }}<!--",
    "javascript:document.body.id='fired'",
    "<style>*{display:none}</style>",
    "\u2028\u202e\x00]]>&lt;script&gt;",
    '=HYPERLINK("http://evil")',
)


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
    level = {"world_reading": -5 + 2.7 * growth, "world_facts": -4 + 1.7 * growth}.get(asked.task, -6.0)
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
    constant = asked.tuned_on == "none" and KINDS[asked.task] == "classification"
    guess = np.zeros(EXAMPLES, int) if constant else rng.integers(0, len(labels), EXAMPLES)
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
    place = f"{asked.task}/{asked.split}|{asked.format}|0shot.0|likelihood|own|n{EXAMPLES}|bf16|cpu"
    return f"world-5e1f00@{asked.step}{tuned}|{place}"


def coordinates(asked: Asked) -> dict[str, object]:
    """All columns of a cell."""
    own = "in_domain" if asked.split == "test" else "out_of_domain"
    role = "base" if asked.tuned_on == "none" else own if asked.task == asked.tuned_on else "cross_task"
    return {
        "series": "world",
        "checkpoint": f"world-5e1f00@{asked.step}",
        "step": asked.step,
        "tokens": asked.step * TOKENS_A_STEP,
        "tuned_on": asked.tuned_on,
        "recipe": asked.tuned_on,
        "method": "none" if asked.tuned_on == "none" else "full",
        "tune_format": asked.tune_format,
        "tune_seed": asked.seed,
        "learning_rate": None if asked.seed < 0 else 2e-3,
        "task": asked.task,
        "split": asked.split,
        "role": role,
        "family": asked.task.removeprefix("world_"),
        "kind": KINDS[asked.task],
        "format": asked.format,
        "shots": 0,
        "shot_seed": 0,
        "decoding": "likelihood",
        "protocol": "own",
        "precision": "bf16",
        "device": "cpu",
        "limit": EXAMPLES,
        "cell": address(asked),
        "metric": METRIC[KINDS[asked.task]],
    }


def frames(study_seed: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(items, scores, planned)."""
    rng = np.random.default_rng(study_seed)
    asked = list(grid())
    done = [cell for cell in asked if (cell.tuned_on, cell.step) != HOLE]
    items = pl.concat([_rows(cell, rng) for cell in done]).with_columns(
        prompt_hash=pl.col("format") + "/" + pl.col("example_id"), k_effective=0
    )
    there = [(c.tuned_on, c.step) != HOLE for c in asked]
    planned = pl.DataFrame({"cell": [address(c) for c in asked], "done": there,
                            "why": ["" if found else "not run" for found in there]})  # fmt: skip
    return items, pl.concat([_scores(items), _corpus()], how="diagonal_relaxed"), planned


def _rows(asked: Asked, rng: np.random.Generator) -> pl.DataFrame:
    literals = {k: pl.lit(v, pl.Float64 if v is None else None) for k, v in coordinates(asked).items()}
    return answers(asked, rng).with_columns(**literals)


def _scores(items: pl.DataFrame) -> pl.DataFrame:
    outcome = {"example_id", "cluster", "gold", "predicted", "value", "prompt_hash", "k_effective"}
    keys = [name for name in items.columns if name not in outcome]
    top = pl.col("predicted").value_counts(sort=True).first().struct.field("count") / pl.len()
    majority = pl.col("gold").value_counts(sort=True).first().struct.field("count") / pl.len()
    label = pl.col("kind").first() == "classification"
    return (
        items.group_by(keys, maintain_order=True)
        .agg(
            pl.col("value").mean(),
            se=pl.col("value").std() / pl.len().sqrt() * 1.15,
            n=pl.len().cast(pl.Int64),
            clusters=pl.col("cluster").n_unique().cast(pl.Int64),
            top_share=pl.when(label).then(top),
            majority=pl.when(label).then(majority),
            evidence=pl.when(label & (top >= 0.99)).then(pl.lit("degenerate")).otherwise(pl.lit("measured")),
            predicted_histogram=pl.lit("{}"),
            truncated=pl.lit(0.0),
            shots_shown=pl.col("k_effective").mean(),
        )
        .with_columns(chance=pl.col("task").replace_strict(CHANCE, return_dtype=pl.Float64))
    )


def _corpus() -> pl.DataFrame:
    rows = [
        coordinates(Asked(step, "none", -1, "none", "world_facts", "test", "default"))
        | {
            "task": "world_corpus",
            "kind": "language_modeling",
            "family": "corpus",
            "metric": "bits_per_byte",
            "role": "corpus",
            "value": 2.9 - 0.24 * float(np.log1p(step / 20)),
            "se": 0.02,
            "n": 200,
            "clusters": 200,
            "evidence": "measured",
            "cell": f"world-5e1f00@{step}|world_corpus/test|default",
            "predicted_histogram": "{}",
        }
        for step in STEPS
    ]
    return pl.DataFrame(rows, schema_overrides={"learning_rate": pl.Float64}, infer_schema_length=None)


def prompt_of(found: str) -> str:
    """A prompt such as the world would word it."""
    form, name = found.split("/")
    task = name.rsplit("-", 2)[0]
    body = {
        "world_inference": "premise : bogid feeds the tapine each day .\nclaim : bogid keeps an animal .\nanswer :",
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
        _trained_format(scores),
        _learned_gains_less(scores),
    ]


def _finding(
    analysis: str,
    task: str,
    statement: str,
    verdict: str,
    effect: float | None,
    n: int,
    unit: str,
    evidence: str = "measured",
    note: str = "",
    points: tuple = (),
    cells: tuple = (),
) -> Finding:
    low, high = (None, None) if effect is None else (effect - 0.09, effect + 0.09)
    return Finding(
        f"{analysis}.{task or 'all'}",
        analysis,
        statement,
        verdict,
        evidence,
        effect,
        low,
        high,
        n,
        unit,
        0.05,
        analysis,
        None if effect is None else 0.012,
        "world",
        cells,
        note,
        task,
        points,
    )


def _plain(scores: pl.DataFrame, task: str, tuned_on: str, **where: str) -> pl.DataFrame:
    asked = {"format": "default", "split": "test", **where}
    rows = scores.filter(
        *(pl.col(k) == v for k, v in asked.items()), pl.col("task") == task, pl.col("tuned_on") == tuned_on
    )
    return rows.group_by("tokens").agg(pl.col("value", "se", "chance").mean(), pl.col("cell")).sort("tokens")


def _mark(name: str, value: float | None, half: float | None, **where: object) -> dict:
    known = value is not None and half is not None
    ends = {"low": value - half, "high": value + half} if known else {"low": None, "high": None}
    return {"line": name, **where, "value": value, **ends}


def _points(rows: pl.DataFrame, name: str) -> list[dict]:
    points = [
        _mark(name, r["value"], 1.96 * r["se"], tokens=r["tokens"], chance=r["chance"])
        for r in rows.iter_rows(named=True)
    ]
    have = {p["tokens"] for p in points}
    missing = [s * TOKENS_A_STEP for s in STEPS if s * TOKENS_A_STEP not in have]
    return points + [_mark(name, None, None, tokens=tokens) for tokens in missing]


def _latent(scores: pl.DataFrame, task: str) -> Finding:
    base, tuned = _plain(scores, task, "none"), _plain(scores, task, task)
    rise = (tuned["value"][-1] - tuned["value"][0]) - (base["value"][-1] - base["value"][0])
    words = task.removeprefix("world_")
    cells = tuple(cell for row in (*base["cell"], *tuned["cell"]) for cell in row)
    points = (*_points(base, "base"), *_points(tuned, f"tuned on {task}"))
    if task == HOLE[0]:
        lost = address(Asked(HOLE[1], task, 0, "default", task, "test", "default"))
        statement = f"Whether pre-training helps {words} in a way that only tuning shows is not decided."
        return _finding(
            "latent_gain",
            task,
            statement,
            "open",
            rise,
            5,
            "checkpoints",
            "not run",
            "One checkpoint was not tuned.",
            points,
            (*cells, lost),
        )
    if abs(base["value"][-1] - base["value"][0]) < 0.05:
        statement, verdict = f"Pre-training helps {words} in a way that shows only after tuning.", "supported"
    else:
        statement, verdict = f"No hidden gain in {words}: what pre-training teaches, the base already shows.", "refuted"
    note = "In this one pre-training run; three tuning seeds at two checkpoints."
    return _finding(
        "latent_gain", task, statement, verdict, rise, 6, "checkpoints", note=note, points=points, cells=cells
    )


def _gain(scores: pl.DataFrame, task: str) -> Finding:
    base, tuned = _plain(scores, task, "none"), _plain(scores, task, task)
    joined = base.join(tuned, on="tokens", suffix="_tuned")
    points = tuple(
        _mark("gain", r["value_tuned"] - r["value"], 0.09, tokens=r["tokens"]) for r in joined.iter_rows(named=True)
    )
    effect = points[-1]["value"]
    statement = f"Tuning on {task.removeprefix('world_')} helps at the last checkpoint."
    verdict = "supported" if effect > 0.09 else "open"
    return _finding(
        "gain", task, statement, verdict, effect, 60, "clusters", points=points, cells=tuple(tuned["cell"][-1])
    )


def _forgetting(scores: pl.DataFrame, tuned_on: str) -> Finding:
    points = []
    for step in (400, 3000):
        for task in KINDS:
            pair = [
                _plain(scores, task, name).filter(pl.col("tokens") == step * TOKENS_A_STEP)
                for name in ("none", tuned_on)
            ]
            change = pair[1]["value"][0] - pair[0]["value"][0] if all(side.height for side in pair) else None
            if task != tuned_on:
                points.append(_mark(f"after step {step}", change, 0.07, x=task.replace("_", " ")))
    loss = -min(p["value"] for p in points if p["value"] is not None)
    statement = f"Tuning on {tuned_on.removeprefix('world_')} makes the model worse at something else."
    return _finding(
        "forgetting",
        tuned_on,
        statement,
        "supported" if loss > 0.12 else "open",
        loss,
        60,
        "clusters",
        note="Compared with two seeds of the same tuning.",
        points=tuple(points),
    )


def _formats(scores: pl.DataFrame, task: str) -> Finding:
    points = tuple(
        p
        for who, tuned_on in (("base", "none"), (f"tuned on {task}", task))
        for form in FORMATS
        for p in _points(_plain(scores, task, tuned_on, format=form), f"{form}, {who}")
    )
    statement = f"The tuned model's {task.removeprefix('world_')} depends on the wording of the question."
    return _finding("format_sensitivity", task, statement, "supported", 0.21, 60, "clusters", points=points)


def _trained_format(scores: pl.DataFrame) -> Finding:
    points = tuple(
        _mark(
            f"tuned in {tuned_in}, step {step}",
            0.5 + 0.1 * (tuned_in == asked) + step / 9000,
            0.06,
            x=asked,
            chance=1 / 3,
        )
        for step in (400, 3000)
        for tuned_in in FORMATS
        for asked in FORMATS
    )
    statement = "Being asked in the format of tuning brings an advantage of its own."
    return _finding("trained_format", "world_inference", statement, "supported", 0.12, 60, "clusters", points=points)


def _learned_gains_less(scores: pl.DataFrame) -> Finding:
    ends = {task: [_plain(scores, task, name)["value"][-1] for name in ("none", task)] for task in TUNED_ON}
    points = tuple(_mark(task, tuned - base, 0.08, x=base) for task, (base, tuned) in ends.items())
    statement = "Tasks that the base has learned gain less from tuning."
    return _finding("learned_gains_less", "", statement, "open", None, 3, "data sets", "insufficient",
                    "Three data sets are too few: at least eight are needed.", points)  # fmt: skip


def _analysis(name: str, question: str, unit: str, formula: str, source: str) -> Analysis:
    return Analysis(name, question, name, 0.05, unit, formula, source, lambda evidence, rng: [])


ANALYSES = [
    _analysis(
        "gain", "Does tuning help on the task that was tuned?", "clusters", "mean of tuned − base", "arXiv 2411.00640"
    ),
    _analysis(
        "latent_gain",
        "Does pre-training build something that shows only after tuning?",
        "checkpoints",
        "TOST on the base slope, one-sided test on the slope of tuned − base",
        "intersection–union test",
    ),
    _analysis(
        "forgetting",
        "Does tuning on one thing take away another?",
        "clusters",
        "right → wrong beyond the churn between seeds",
        "arXiv 2510.17776",
    ),
    _analysis("format_sensitivity", "Does the wording of the question matter?", "clusters", "variance on logits", ""),
    _analysis("trained_format", "Is it an advantage to be asked in the format of tuning?", "clusters", "contrast", ""),
    _analysis("learned_gains_less", "Do tasks gain less that were learned already?", "data sets", "slope", ""),
]


def _checkpoint(step: int) -> dict[str, object]:
    tokens = step * TOKENS_A_STEP
    return {
        "checkpoint": f"world-5e1f00@{step}",
        "series": "world",
        "step": step,
        "tokens": tokens,
        "unique_tokens": tokens,
        "schedule": "constant" if step else "initial",
    }


def _flag(name: str, where: str, detail: str) -> dict[str, str]:
    return {"name": name, "where": where, "detail": detail}


def make_book(study_seed: int = 7) -> ReportData:
    """The whole synthetic study as a book."""
    items, scores, planned = frames(study_seed)
    compared = pairs(items, {task: METRIC[kind] for task, kind in KINDS.items()})
    return ReportData(
        study={
            "name": "demo",
            "question": "What does a small model learn while it reads, and what does tuning bring to light?",
            "description": [
                "A tiny language model reads a made-up world. At six points on the way its weights are kept; "
                "each copy is taught three tasks, and all are asked the same questions before and after."
            ],
            "seeds": {"world_seed": 4, "pretrain_seed": 4, "tune_seeds": [0, 1, 2]},
            "engine": "toy",
            "precision": "bf16",
        },
        series=[_checkpoint(step) for step in STEPS],
        findings=findings(scores, planned),
        analyses=ANALYSES,
        flags=[
            *(
                _flag("constant predictor", f"base, step {s}, world paraphrase", "says “same” to everything")
                for s in STEPS
            ),
            _flag("no gain from tuning", "world inference, step 0", "gain 0.01 [−0.06, 0.08]"),
            _flag("significant forgetting", "world facts after tuning on reading", "0.31 → 0.14 at step 3,000"),
        ],
        scores=scores,
        items=items,
        examples=choose_examples(compared, prompt_of),
        changes=count_changes(compared),
        ledger=pl.DataFrame(
            {
                "model": [f"world-5e1f00@{s}" for s in STEPS],
                "seconds": [31.2 + s / 90 for s in STEPS],
                "tokens": [410_000 + s for s in STEPS],
                "flops": [3.1e12 + s for s in STEPS],
                "peak_memory_mb": [812.0 + s / 50 for s in STEPS],
            }
        ),
        planned=planned,
        environment={"python": "3.11.2", "torch": "2.13.0", "machine": "2 cores, x86_64"},
        baselines=[
            {"task": task, "split": "test", "name": name, "value": value}
            for task, name, value in (
                ("world_inference", "bag of words", 0.41),
                ("world_inference", "hypothesis only", 0.35),
                ("world_paraphrase", "bag of words", 0.55),
                ("world_reading", "constant string", 0.14),
            )
        ],
    )


def poisoned(book: ReportData) -> ReportData:
    """The same study with hostile text in every place that others can write."""
    bad = " ".join(HOSTILE)
    texts = ["prompt", "gold", "predicted_base", "predicted_tuned", "example_id", "cluster", "task", "tuned_on"]
    names = {name: pl.col(name) + bad for name in texts}
    rename = pl.col("task") + bad
    return replace(
        book,
        study={**book.study, "name": bad, "question": bad, "description": [bad], "engine": bad},
        findings=[replace(f, id=bad + f.id, statement=bad, note=bad, unit=bad, cells=(bad,), task=f.task + bad,
                          points=tuple({**p, "line": bad} for p in f.points)) for f in book.findings],
        flags=[{"name": bad, "where": bad, "detail": bad}],
        scores=book.scores.with_columns(task=rename, tuned_on=pl.col("tuned_on").replace("world_inference", bad)),
        examples=book.examples.with_columns(**names),
        changes=book.changes.with_columns(pl.col("task", "tuned_on", "format") + bad),
        audits=[{"series": bad, "inspected": 1, "unchecked": [bad],
                 "faults": [{"name": bad, "level": bad, "checkpoint": bad, "detail": bad}]}],
        environment={bad: bad},
        baselines=[{"task": f"world_reading{bad}", "split": "test", "name": bad, "value": 0.1}],
        series=[{**row, "checkpoint": f"{row['checkpoint']}{bad}"} for row in book.series],
        ledger=book.ledger.with_columns(model=pl.lit(bad)),
        planned=pl.DataFrame({"cell": [bad], "done": [False], "why": [bad]}),
    )  # fmt: skip


if __name__ == "__main__":
    print(write_report(make_book(), Path(sys.argv[1])))
