"""The released score tables of *Amuro and Char* (Sun & Dredze, arXiv 2408.06663) → tidy scores.

Three CSV files were published with the paper's code: `all_perf_table.csv` (supervised tuning, with standard errors),
`official…` (multiple choice) and `it_perf_table.csv` (instruction benchmarks). The table is recognised by its
columns and set names, not by the file name. The scores of the first are part of this package (`paper_scores.csv`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, cast

import polars as pl

from amuro.core.errors import DataError, nearest
from amuro.results.importers import _paper_sets as facts
from amuro.results.importers._paper_ids import MAIN, PaperModel, parse_model, parse_set
from amuro.results.importers._paper_remarks import remarks
from amuro.results.importers.base import EXTRA, Imported, Importer, SetFacts
from amuro.results.scoring import no_scores

SERIES = "olmo_1b"
TOKENS_A_STEP = 2048 * 2048
"""Sequences × length of one optimiser step (OLMo-1B's public configuration)."""
MAIN_STEP = 738_020
"""Step of the released final weights: the last row of the series' public list of checkpoints; the tables do not say."""
COLUMNS = ("model_id", "eval dataset", "Performance")
TIDY = ("table", "checkpoint", "tuned_on", "epochs", "learning_rate", "conversion", "task", "format", "shots", "value",
        "se", "source_id", "source_set")  # fmt: skip
"""Columns of `paper_scores.csv`."""


def read(paths: Sequence[Path]) -> Imported:
    """Returns the given released tables as one frame of tidy scores, with notes on what is ambiguous.

    Raises `DataError` on a file that is none of the three, on an unknown name, and on a score outside its scale.
    """
    return imported(pl.concat([tidy_rows(path) for path in paths]))


def tidy_rows(path: Path) -> pl.DataFrame:
    """Returns the rows of one released table with its names resolved (columns `TIDY`). Errors as in `read`."""
    return pl.DataFrame(list(_rows(path)), schema=_SCHEMA)


def carried() -> Imported:
    """Returns the supervised-tuning table that is part of this package."""
    return imported(carried_rows())


def carried_rows() -> pl.DataFrame:
    """Returns the same as tidy rows (columns `TIDY`)."""
    with as_file(files("amuro.results.importers").joinpath("paper_scores.csv")) as path:
        return pl.read_csv(path, schema=_SCHEMA, comment_prefix="#")


_SCHEMA = {**dict.fromkeys(TIDY, pl.String),
    "epochs": pl.Int64, "learning_rate": pl.Float64, "shots": pl.Int64, "value": pl.Float64, "se": pl.Float64,
}  # fmt: skip


def imported(rows: pl.DataFrame) -> Imported:
    """Returns tidy rows (columns `TIDY`) as scores with all coordinates, and the notes on them."""
    known = {f.task: f for table in facts.TABLES for f in facts.sets(table).values()}
    used = {task: known[task] for task in rows["task"].unique().sort()}
    scores = pl.DataFrame([_score(row, used) for row in rows.iter_rows(named=True)], schema=_full_schema())
    twice = pl.when(pl.col("cell").is_duplicated()).then(pl.lit("mixed")).otherwise(pl.col("evidence"))
    scores = scores.with_columns(twice.alias("evidence"))
    return Imported(scores, used, tuple(remarks(scores, used)))


def _full_schema() -> dict[str, Any]:
    return {**no_scores().schema, **EXTRA}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    raw = _raw(path)
    table = _table_of(path, raw)
    for number, row in enumerate(raw.iter_rows(named=True), 2):
        try:
            yield _tidy(row, table)
        except DataError as bad:
            raise DataError(f"{path.name}, line {number}: {bad.message}", bad.cure) from bad


def _raw(path: Path) -> pl.DataFrame:
    try:
        raw = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as bad:
        raise DataError(f"{path} cannot be read as CSV ({bad})", "give one of the paper's released tables") from bad
    for name in COLUMNS:
        if name not in raw.columns:
            raise DataError(f"{path.name} has no column '{name}'", nearest(name, raw.columns))
    if raw.is_empty():
        raise DataError(f"{path.name} has no row", "give one of the paper's released tables as it was published")
    return raw


def _table_of(path: Path, raw: pl.DataFrame) -> str:
    """Returns which of the three tables a file is: only the first has standard errors, the others share no name."""
    if "std" in raw.columns:
        return "sft"
    names = set(raw["eval dataset"].drop_nulls())
    fits = [table for table in ("choice", "instruct") if names & set(facts.sets(table))]
    if len(fits) != 1:
        raise DataError(
            f"{path.name} has no column 'std', and its sets ({', '.join(sorted(names)[:4])} …) are "
            f"{'of two tables' if fits else 'of neither other table'}",
            cure="give the paper's released tables as they were published",
        )
    return fits[0]


def _tidy(row: Mapping[str, Any], table: str) -> dict[str, Any]:
    model = parse_model(str(row["model_id"]))
    name, form = parse_set(str(row["eval dataset"]), facts.sets(table))
    full = facts.scale(table, name)
    return {
        "table": table, "checkpoint": model.checkpoint, "tuned_on": model.tuned_on or "none", "epochs": model.epochs,
        "learning_rate": model.learning_rate, "conversion": model.conversion, "task": facts.sets(table)[name].task,
        "format": _format(form, model.chat), "shots": _shots(model, table),
        "value": _number(row["Performance"], "Performance", full) / full,
        "se": _number(row["std"], "std", full) / full if table == "sft" else None,
        "source_id": row["model_id"], "source_set": row["eval dataset"],
    }  # fmt: skip


def _format(form: str, chat: bool) -> str:
    """Returns the format of a score; a dialogue with reasoning (`_cot_chat`) is a format of its own."""
    if not chat:
        return form
    return "cot_chat" if form == "default" else f"{form}_cot_chat"


def _shots(model: PaperModel, table: str) -> int | None:
    """Returns the shots of the id; where it has none, 0 in the supervised table and None (unknown) in the others."""
    return model.shots if model.shots is not None or table != "sft" else 0


def _number(text: object, column: str, full: float) -> float:
    try:
        value = float(str(text))
    except ValueError:
        value = float("nan")
    if not 0 <= value <= full:
        raise DataError(f"{column} is '{text}'", f"a number from 0 to {full:g} is needed")
    return value


def _score(row: Mapping[str, Any], known: Mapping[str, SetFacts]) -> dict[str, Any]:
    """Returns one tidy row with all coordinates of a run's scores; what is not stated is `unknown`."""
    set_facts, main = known[row["task"]], row["checkpoint"] == MAIN
    step = MAIN_STEP if main else int(row["checkpoint"])
    tuned = row["tuned_on"] != "none"
    training = facts.trainings()[row["tuned_on"]] if tuned else None
    return {
        "series": SERIES, "checkpoint": f"{SERIES}@{row['checkpoint']}", "step": step, "tokens": step * TOKENS_A_STEP,
        "tuned_on": training.task if training else "none",
        "recipe": f"{row['epochs']}_epochs" if tuned else "none", "method": "full" if tuned else "none",
        "tune_format": "default" if tuned else "none", "tune_seed": 42 if tuned else -1,
        "learning_rate": row["learning_rate"], "task": set_facts.task, "split": set_facts.split,
        "role": training.role(set_facts.task) if training else "base", "family": set_facts.family,
        "kind": set_facts.kind,
        "format": row["format"], "shots": row["shots"], "shot_seed": None,
        "decoding": "greedy" if set_facts.kind == "generation" else "likelihood", "protocol": "paper",
        "precision": "unknown", "device": "unknown", "limit": None,
        "cell": f"{row['table']}:{row['source_id']}|{row['source_set']}", "metric": set_facts.metric,
        "evidence": "degenerate" if set_facts.constant_gold else "measured", "predicted_histogram": None,
        "value": row["value"], "se": _error(row, set_facts), "chance": set_facts.chance,
        "majority": max(set_facts.priors.values(), default=None), "top_share": None, "truncated": None,
        "shots_shown": None, "n": set_facts.rows, "clusters": None,
        "table": row["table"], "conversion": row["conversion"], "source_id": row["source_id"],
        "source_set": row["source_set"],
    }  # fmt: skip


def _error(row: Mapping[str, Any], set_facts: SetFacts) -> float | None:
    """Returns the printed standard error; without one, that of a share of the split's rows: √(p(1 − p)/n)."""
    if row["se"] is not None or set_facts.metric != "accuracy" or not set_facts.rows:
        return cast(float | None, row["se"])
    return math.sqrt(row["value"] * (1 - row["value"]) / set_facts.rows)


IMPORTER = Importer(
    name="paper",
    description="the released score tables of Amuro and Char (arXiv 2408.06663)",
    source="https://arxiv.org/abs/2408.06663",
    read=read,
)
