"""Single examples: chosen so that every kind of change is among them, and packed for the page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from amuro.report.book import Book
from amuro.report.svg import shorten
from amuro.report.tables import step_name
from amuro.report.words import number, plain, split_words

PER_TASK = 40
PROMPT_LIMIT, ANSWER_LIMIT = 4_000, 600
"""Characters that the page shows; the whole text is in the store."""
RIGHT = 0.5
"""A value from here on counts as right."""
FLOWS = {
    "lost": "right → wrong",
    "won": "wrong → right",
    "kept": "stays right",
    "missed": "stays wrong",
    "unknown": "not run",
}
_EQUAL = (
    "series", "checkpoint", "task", "split", "format", "shots", "shot_seed", "decoding", "protocol", "precision",
    "device", "limit", "example_id",
)  # fmt: skip
_CARD = ("task", "split", "format", "shots", "example_id")


def pair_examples(
    items: pl.DataFrame, metrics: Mapping[str, str], prompt: Callable[[str], str], per_task: int = PER_TASK
) -> pl.DataFrame:
    """Rows for `Book.examples`: what base and tuned models said to the same prompt, zero-shot, first tuning seed.

    `metrics` names each task's primary metric. `prompt(hash)` gives the text that was read; it is asked only
    for the examples that are kept, at most `per_task` a task.
    """
    types = {name: items.schema[name] for name in ("task", "metric")}
    wanted = pl.DataFrame({"task": list(metrics), "metric": list(metrics.values())}, types)
    rows = items.join(wanted, on=["task", "metric"]).filter(
        (pl.col("format") == "default") & (pl.col("shots") == 0) & (pl.col("split") != "dev")
    )
    base = rows.filter(pl.col("tuned_on") == "none").select(
        *_EQUAL, "prompt_hash", "cluster", "gold", predicted_base="predicted", value_base="value"
    )
    tuned = (
        rows.filter(pl.col("tuned_on") != "none")
        .sort(pl.col("tune_format") != "default", "tune_seed", "recipe", maintain_order=True)
        .unique([*_EQUAL, "tuned_on"], keep="first", maintain_order=True)
        .select(*_EQUAL, "tuned_on", predicted_tuned="predicted", value_tuned="value")
    )
    kept = _choose(base.join(tuned, on=_EQUAL, maintain_order="left_right"), per_task)
    texts = {found: prompt(found) for found in kept["prompt_hash"].unique(maintain_order=True)}
    return kept.with_columns(prompt=pl.Series([texts[found] for found in kept["prompt_hash"]], dtype=pl.String))


def _choose(pairs: pl.DataFrame, per_task: int) -> pl.DataFrame:
    """Of each kind of change at each checkpoint and tuning some, in an order that only the ids decide."""
    order = {name: hashlib.sha256(name.encode()).hexdigest() for name in pairs["example_id"].unique()}
    was, now = pl.col("value_base") >= RIGHT, pl.col("value_tuned") >= RIGHT
    example = ["task", "split", "example_id"]
    chosen = (
        pairs.with_columns(
            pl.col("example_id").replace_strict(order, default="", return_dtype=pl.String).alias("order")
        )
        .with_columns(
            (was == now).alias("same"),
            pl.col("order").rank("dense").over("task", "tuned_on", "checkpoint", was, now).alias("turn"),
        )
        .sort("turn", "same", "order")
        .unique(example, keep="first", maintain_order=True)
        .group_by("task", maintain_order=True)
        .head(per_task)
    )
    return chosen.select(example).join(pairs, on=example, maintain_order="left_right")


def pack(book: Book, per_task: int = PER_TASK) -> list[dict[str, Any]]:
    """Tasks with their cards: one card a prompt, holding what every model said to it, checkpoints in order.

    Cards stand in the order in which the frame first names them, and those beyond `per_task` are left out.
    """
    if not book.examples.height:
        return []
    places = {str(row["checkpoint"]): (row.get("tokens"), row.get("step")) for row in book.series}
    tasks: dict[str, dict[tuple[Any, ...], list[dict[str, Any]]]] = {}
    for row in book.examples.iter_rows(named=True):
        cards = tasks.setdefault(row["task"], {})
        key = tuple(row[name] for name in _CARD)
        if key in cards or len(cards) < per_task:
            cards.setdefault(key, []).append(row)
    tuned_on = set(book.examples["tuned_on"])
    return [
        {"name": task, "title": plain(task), "cards": [_card(rows, places) for rows in tasks[task].values()]}
        for task in sorted(tasks, key=lambda task: task not in tuned_on)
    ]


def data(book: Book, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page's script reads: the tasks, the checkpoints in order, and the kinds of change in words."""
    found = {answer["checkpoint"] for task in tasks for card in task["cards"] for answer in card["answers"]}
    known = [_place_words(row.get("tokens"), row.get("step")) for row in book.series]
    ordered = [*dict.fromkeys(known), *sorted(found.difference(known))]
    return {"tasks": tasks, "checkpoints": [name for name in ordered if name in found], "flows": FLOWS}


def _card(rows: Sequence[Mapping[str, Any]], places: Mapping[str, tuple[int | None, int | None]]) -> dict[str, Any]:
    first = rows[0]
    ordered = sorted(rows, key=lambda row: (places.get(row["checkpoint"], (None, None))[1] or 0, row["tuned_on"]))
    return {
        "id": first["example_id"],
        "cluster": first["cluster"],
        "where": f"{split_words(first['split'])} · asked as {plain(first['format'])} · {first['shots']} shots",
        "prompt": shorten(first["prompt"] or "", PROMPT_LIMIT),
        "gold": first["gold"],
        "answers": [_answer(row, places.get(row["checkpoint"])) for row in ordered],
    }


def _answer(row: Mapping[str, Any], place: tuple[int | None, int | None] | None) -> dict[str, Any]:
    return {
        "checkpoint": row["checkpoint"] if place is None else _place_words(*place),
        "tuned_on": plain(row["tuned_on"]),
        "base": _said(row["predicted_base"], row["value_base"]),
        "tuned": _said(row["predicted_tuned"], row["value_tuned"]),
        "flow": _flow(row["value_base"], row["value_tuned"]),
    }


def _place_words(tokens: int | None, step: int | None) -> str:
    return "checkpoint" if step is None else step_name(tokens, step)


def _said(words: str | None, value: float | None) -> str:
    """The answer, with its value where that is neither right nor wrong."""
    if words is None or value is None:
        return "not run"
    shown = shorten(words, ANSWER_LIMIT) or "(nothing)"
    return shown if value in (0.0, 1.0) else f"{shown} ({number(value)})"


def _flow(base: float | None, tuned: float | None) -> str:
    if base is None or tuned is None:
        return "unknown"
    return {(True, False): "lost", (False, True): "won", (True, True): "kept"}.get(
        (base >= RIGHT, tuned >= RIGHT), "missed"
    )
