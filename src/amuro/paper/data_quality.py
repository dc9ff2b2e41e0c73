"""Marks of doubtful scores, set by rule from a score, its error and the facts of its evaluation set.

No rule names a data set, a model or a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from amuro.results.importers.base import SetFacts, TableNote

CONTEXT = 2048
"""Context length of the models of the released tables, in tokens."""
ERRORS = 2.0
"""Standard errors within which a score equals a class prior, i.e. the score of always answering that class."""
EXACT = 0.2
"""Standard errors within which it equals the prior as printed; both are of the same rows, without sampling noise."""
LEAST = 5e-4
"""Rounding error of a printed prior."""

MARKS = {"constant_gold": pl.Boolean, "stuck_on": pl.String, "exactly": pl.Boolean, "overflow": pl.Float64,
         "dead_label": pl.String, "floor": pl.Float64, "still": pl.Boolean}  # fmt: skip
"""constant_gold: every row has the same right answer · stuck_on: the class whose share the score equals · exactly: to
the printed digits · overflow: typical tokens of the whole prompt where they exceed the context · dead_label: an answer
that is offered and never right · floor: score of the best constant answer · still: 0 or 1 without any spread."""


def marked(scores: pl.DataFrame, sets: Mapping[str, SetFacts]) -> pl.DataFrame:
    """Returns the scores with the columns `MARKS`."""
    marks = [_marks(row, sets[row["task"]]) for row in scores.iter_rows(named=True)]
    return scores.hstack(pl.DataFrame(marks, schema=MARKS))


def _marks(row: Mapping[str, object], facts: SetFacts) -> dict[str, object]:
    """Returns the marks of one score."""
    value, error = float(str(row["value"])), float(str(row["se"] or 0.0))
    nearest, gap = _nearest_prior(value, facts.priors)
    close = nearest is not None and gap <= max(ERRORS * error, LEAST) and not facts.constant_gold
    return {
        "constant_gold": facts.constant_gold,
        "stuck_on": nearest if close else None,
        "exactly": close and gap <= max(EXACT * error, LEAST),
        "overflow": overflow(facts, row["shots"]),
        "dead_label": _dead_label(facts),
        "floor": max([*facts.priors.values(), facts.chance or 0.0]),
        "still": row["se"] == 0 and value in (0.0, 1.0),
    }


def _nearest_prior(value: float, priors: Mapping[str, float]) -> tuple[str | None, float]:
    """Returns (class, distance) of the class whose share is closest to the score; (None, 1) without classes."""
    gaps = {name: abs(value - share) for name, share in priors.items()}
    name = min(gaps, key=lambda n: gaps[n], default=None)
    return name, gaps[name] if name is not None else 1.0


def _dead_label(facts: SetFacts) -> str | None:
    """Returns an answer that is offered and never right; None without one."""
    if facts.constant_gold:
        return None
    return next((name for name, share in facts.priors.items() if share == 0), None)


def overflow(facts: SetFacts, shots: object) -> float | None:
    """Returns the typical tokens of a prompt with shots and answer if they exceed the context, else None."""
    k = int(str(shots)) if shots is not None else 0
    length = (k + 1) * facts.prompt_tokens + k * facts.answer_tokens + facts.new_tokens
    return float(length) if length > CONTEXT else None


def warnings(scores: pl.DataFrame) -> Iterator[TableNote]:
    """Yields the marks of a table as notes, one per mark and evaluation set."""
    for task, rows in _by_task(scores.filter("constant_gold")):
        high = rows.select(pl.col("value").max()).item()
        yield TableNote("degenerate: constant gold", task, f"the labels of split {rows['split'][0]} are withheld, so "
                     f"one answer stands as right for all rows: {rows.height} scores up to {high:.3f} say only how "
                     "often it was given; never averaged")  # fmt: skip
    base = scores.filter((pl.col("tuned_on") == "none") & (pl.col("conversion") != "old"))
    for task, rows in _by_task(base.filter(pl.col("stuck_on").is_not_null())):
        scored, exact = base.filter(pl.col("task") == task).height, int(rows["exactly"].sum())
        classes = ", ".join(rows["stuck_on"].unique().sort())
        yield TableNote("constant prediction", task, f"{rows.height} of {scored} base scores equal the share of one "
                     f"class ({classes}) within {ERRORS:g} standard errors, {exact} of them to the printed digits: "
                     "what answering that class always would score")  # fmt: skip
    for task, rows in _by_task(scores.filter(pl.col("overflow").is_not_null())):
        lengths = rows.group_by("shots", maintain_order=True).agg(pl.col("overflow").first()).sort("shots").rows()
        sizes = ", ".join(f"{tokens:.0f} tokens with {shots} shots" for shots, tokens in lengths)
        yield TableNote("prompt overflows", task, f"a typical prompt has about {sizes}; the context has {CONTEXT}")
    for task, rows in _by_task(scores.filter(pl.col("dead_label").is_not_null())):
        yield TableNote("an answer that is never right", task, f"'{rows['dead_label'][0]}' is among the candidates, "
                     "and no row has it as its right answer")  # fmt: skip
    for task, rows in _by_task(scores.filter(pl.col("still") & ~pl.col("constant_gold"))):
        yield TableNote("no variance", task, f"{rows.height} scores of exactly 0 or 1 with a standard error of 0")


def _by_task(rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yields (task, its rows) in alphabetical order."""
    for task in rows["task"].unique().sort():
        yield task, rows.filter(pl.col("task") == task)
