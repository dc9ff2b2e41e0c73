"""The paper's figures as points: the lines of each figure, and the rows that a table lacks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from amuro.paper.changes import asked, changes, comparable, main_way, with_places
from amuro.paper.tables import bootstrap
from amuro.tasks.metrics import load_metric

Z_95 = 1.959964
Point = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: points with `line` and either `tokens` or a named `x`."""

    title: str
    points: tuple[Point, ...]
    y_label: str
    note: str = ""
    majority: float | None = None
    """Score of the best constant answer; None where it is unknown."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the paper; `lacking` names the rows that are missing for it (empty where none are)."""

    number: str
    title: str
    panels: tuple[Panel, ...]
    lacking: str = ""


IN_DOMAIN = (("mnli_matched", "mnli"), ("mnli_mismatched", "mnli"), ("paws", "paws"), ("xsum", "xsum"),
             ("xlsum", "xsum"), ("socialiqa_question", "socialiqa_question"))  # fmt: skip
IN_FORMATS = (
    ("mnli_matched", "mnli"),
    ("paws", "paws"),
    ("xsum", "xsum"),
    ("socialiqa_question", "socialiqa_question"),
)
OUT_OF_DOMAIN = (("rte", "mnli"), ("gpt3nli", "mnli"), ("cnn", "xsum"), ("qqp", "paws"), ("stsb", "paws"),
                 ("tweetqa_question", "socialiqa_question"), ("sciq_question", "socialiqa_question"))  # fmt: skip
TO_GENERATION = (("xsum", "mnli"), ("socialiqa_question", "mnli"), ("xsum", "paws"), ("socialiqa_question", "paws"))
TO_CLASS = (
    ("paws", "xsum"),
    ("mnli_matched", "xsum"),
    ("mnli_matched", "socialiqa_question"),
    ("paws", "socialiqa_question"),
)
WITHIN = (("paws", "mnli"), ("mnli_matched", "paws"), ("xsum", "socialiqa_question"), ("socialiqa_question", "xsum"))
TAUGHT = ("hellaswag", "arc_challenge", "arc_easy", "sciq_choice", "openbookqa")
UNTAUGHT = ("mnli_matched", "xsum", "socialiqa_question", "paws", "boolq")
CHOICE = "in the released multiple-choice table (amuro paper FILE)"


def figures(scores: pl.DataFrame) -> list[Figure]:
    """Returns all figures of results in the paper, as far as the scores allow."""
    rows = with_places(main_way(comparable(scores)))
    instructed = [(task, "tulu") for task in (*TAUGHT, "boolq")]
    return [
        _lines("2 and 14", "Formats before and after tuning", rows, IN_FORMATS, formats=True),
        Figure("3", "Llama-3-8B in three formats", (), "rows that were never released"),
        _lines("4 and 11", "Out of domain", rows, OUT_OF_DOMAIN),
        Figure("5", "Change out of domain, by family", _families(scores)),
        Figure("6a", "Bases on what counts as learned in pre-training", _bases(rows, TAUGHT), _lacking(rows, TAUGHT)),
        Figure("6b", "Bases on what counts as never learned", _bases(rows, UNTAUGHT), _lacking(rows, UNTAUGHT)),
        _lines("7", "A latent gain, and none", rows, (("mnli_matched", "mnli"), ("hellaswag", "tulu"))),
        Figure("8", "Average change by place and group", _groups(scores), _lacking(rows, (*TAUGHT, "boolq"))),
        _lines("9", "Instruction tuning, set by set", rows, instructed),
        _lines("10", "Tuning on a set of its own, set by set", rows, IN_DOMAIN),
        _lines("12 and 13", "Task transfer: class to generation", rows, TO_GENERATION),
        _lines("12 and 13", "Task transfer: generation to class", rows, TO_CLASS),
        _lines("12 and 13", "Task transfer within a kind", rows, WITHIN),
        Figure("15", "Llama-3-8B out of domain", (), "rows that were never released"),
    ]  # fmt: skip


def _lacking(rows: pl.DataFrame, tasks: tuple[str, ...]) -> str:
    missing = [task for task in tasks if task not in set(rows["task"])]
    return f"{', '.join(map(_plain, missing))}, {CHOICE}" if missing else ""


def _lines(
    number: str, title: str, rows: pl.DataFrame, wanted: Any, formats: bool = False
) -> Figure:  # fmt: skip
    """Returns a figure of base and tuned scores over pre-training, one panel per pair (task, tuned on)."""
    panels, missing = [], []
    for task, tuned_on in wanted:
        mine = rows.filter((pl.col("task") == task) & pl.col("tuned_on").is_in(["none", tuned_on]))
        if not formats:
            mine = mine.filter(pl.col("format") == "default")
        if tuned_on in set(mine["tuned_on"]):
            panels.append(_panel(mine, task, tuned_on, formats))
        else:
            missing.append(task)
    return Figure(number, title, tuple(panels), _lacking(rows, tuple(missing)))


def _panel(rows: pl.DataFrame, task: str, tuned_on: str, formats: bool) -> Panel:
    points = []
    for form in sorted(rows["format"].unique()):
        for model in ("none", tuned_on):
            line = rows.filter((pl.col("format") == form) & (pl.col("tuned_on") == model))
            word = "base" if model == "none" else "tuned"
            points += list(over_tokens(line, f"{form}, {word}" if formats else word))
    return Panel(
        f"{_plain(task)}, tuned on {_plain(tuned_on)}", tuple(points), load_metric(rows["metric"][0]).words,
        _flags(rows), rows["majority"][0],
    )  # fmt: skip


def over_tokens(rows: pl.DataFrame, line: str) -> Iterator[Point]:
    """Yields one point per place: the mean of near-replicates, with the single runs as `seeds`."""
    for _, group in rows.sort("tokens").group_by("place", maintain_order=True):
        value = float(group["value"].to_numpy().mean())
        half = Z_95 * float(group["se"].fill_null(0.0).to_numpy().mean())
        yield {"line": line, "tokens": group["tokens"].max(), "value": value, "low": value - half, "high": value + half,
               "seeds": tuple(group["value"]) if group.height > 1 else ()}  # fmt: skip


def _flags(rows: pl.DataFrame) -> str:
    """Returns the warnings for a panel: constant gold, constant predictions, prompts that overflow."""
    base = rows.filter(pl.col("tuned_on") == "none")
    stuck = base["stuck_on"].is_not_null().sum()
    parts = [
        "Degenerate: every row has the same right answer." if rows["constant_gold"].any() else "",
        f"{stuck} of {base.height} base scores equal a class prior: constant predictions." if stuck else "",
        "A typical prompt overflows the context." if rows["overflow"].is_not_null().any() else "",
    ]
    return " ".join(part for part in parts if part)


def _bases(rows: pl.DataFrame, tasks: tuple[str, ...]) -> tuple[Panel, ...]:
    base = rows.filter((pl.col("tuned_on") == "none") & (pl.col("format") == "default"))
    points = [p for task in tasks for p in over_tokens(base.filter(pl.col("task") == task), _plain(task))]
    flags = [(task, base.filter((pl.col("task") == task) & pl.col("stuck_on").is_not_null()).height) for task in tasks]
    note = ", ".join(f"{_plain(task)} {n}" for task, n in flags if n)
    warning = f"Constant predictions (score equals a class prior): {note} of the checkpoints." if note else ""
    return (Panel("base models", tuple(points), "accuracy or ROUGE-L", warning),) if points else ()


def _families(scores: pl.DataFrame) -> tuple[Panel, ...]:
    rows = asked(scores).filter((pl.col("role") == "out_of_domain") & (pl.col("format") == pl.col("tune_format")))
    points, degenerate = [], []
    for family in sorted(rows["family"].unique()):
        kept = rows.filter((pl.col("family") == family) & ~pl.col("constant_gold"))
        if kept.is_empty():
            degenerate.append(family)
            continue
        low, high = bootstrap(kept["change"])
        points.append({"x": family, "line": "mean change", "value": kept["change"].mean(), "low": low, "high": high})
    note = f"{', '.join(degenerate)}: degenerate, not averaged. " if degenerate else ""
    note += "As in the paper: bootstrap over sets and checkpoints, no noise of runs."
    panel = Panel("tuned − base, pooled over checkpoints", tuple(points), "change of the score (90 % interval)", note)
    return (panel,) if points else ()


def _groups(scores: pl.DataFrame) -> tuple[Panel, ...]:
    rows = changes(main_way(comparable(scores))).filter((pl.col("format") == "default") & ~pl.col("constant_gold"))
    points = []
    names = {"in_domain": "tuned on a set of its own", "instructed": "tuned on instructions"}
    for role, name in names.items():
        for _, group in rows.filter(pl.col("role") == role).sort("tokens").group_by("place", maintain_order=True):
            means = group.group_by("task", maintain_order=True).agg(pl.col("change").mean())["change"]
            low, high = bootstrap(means)
            tokens = int(group["tokens"].to_numpy().max())
            points.append({"x": f"{tokens / 1e9:,.0f} B tokens", "line": name, "value": means.mean(),
                           "low": low, "high": high})  # fmt: skip
    panel = Panel("mean of tuned − base over sets", tuple(points), "change of the score (90 % interval over sets)")
    return (panel,) if points else ()


def _plain(name: str) -> str:
    return name.replace("_", " ")
