"""Score matrices: the tidy rows of one evaluation set as an array of score rows (cell × metric) × examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from amuro.core.errors import DataError
from amuro.results.analyses.base import Evidence
from amuro.results.stats.clustered import Floats, Ints
from amuro.tasks.metrics import load_metric

ScoreRow = Mapping[str, Any]
"""One row of `Evidence.scores`, by column name."""


@dataclass(frozen=True)
class ScoreMatrix:
    """Scores of one evaluation set: a row for each cell and metric, a column for each example."""

    task: str
    split: str
    score_rows: tuple[ScoreRow, ...]
    """Row of `Evidence.scores` for each row of `values`."""
    values: Floats
    """(score rows, examples), oriented so that higher is better; not finite where a score row lacks an example."""
    clusters: Ints
    """(examples,) cluster codes from 0."""

    def where(self, **wanted: Any) -> ScoreMatrix:
        """Returns the matrix of the score rows whose columns equal `wanted`."""
        kept = [row for row, score_row in enumerate(self.score_rows) if wanted.items() <= score_row.items()]
        return replace(self, score_rows=tuple(self.score_rows[row] for row in kept), values=self.values[kept])

    def on(self, examples: Ints) -> ScoreMatrix:
        """Returns the matrix of some examples (column indices) and of the score rows that have all of them."""
        values = self.values[:, examples]
        complete = np.flatnonzero(np.isfinite(values).all(axis=1))
        _, clusters = np.unique(self.clusters[examples], return_inverse=True)
        score_rows = tuple(self.score_rows[row] for row in complete)
        return replace(self, score_rows=score_rows, values=values[complete], clusters=clusters)

    def all(self, coordinate: str) -> set[Any]:
        """Returns the distinct values of one column of the score rows."""
        return {score_row[coordinate] for score_row in self.score_rows}

    @property
    def groups(self) -> int:
        """Returns the number of clusters."""
        return int(self.clusters.max()) + 1 if len(self.clusters) else 0


@dataclass(frozen=True)
class _Columns:
    """Columns of a study's frames as arrays, made once per study; score matrices are cut from them."""

    codes: Mapping[str, NDArray[np.uint32]]
    """Column of `items` → an integer code for each row."""
    values: Floats
    """Value of each row, oriented so that higher is better."""
    rows: Mapping[tuple[str, str], Ints]
    """(task, split) → indices of its rows of `items` that have a value."""
    names: Mapping[str, Mapping[int, str]]
    """Column → code → text."""
    scores: Mapping[tuple[str, str], ScoreRow]
    """(cell, metric) → its row of `scores`."""


def _columns(evidence: Evidence) -> _Columns:
    """Returns the columns of the evidence, kept in its memo."""
    if "columns" not in evidence.memo:
        coded = ["cell", "metric", "example_id", "cluster"]
        kept = evidence.items.filter(pl.col("value").is_not_null())
        kept = kept.select("task", "split", "value", *(pl.col(name).cast(pl.Categorical) for name in coded))
        sets = kept.with_row_index("row").group_by("task", "split").agg("row").rows()
        evidence.memo["columns"] = _Columns(
            codes={name: kept[name].to_physical().to_numpy() for name in coded},
            values=_oriented(kept),
            rows={(task, split): np.array(rows) for task, split, rows in sets},
            names={name: _texts(kept[name].unique()) for name in ("cell", "metric")},
            scores={(row["cell"], row["metric"]): row for row in evidence.scores.iter_rows(named=True)},
        )
    known: _Columns = evidence.memo["columns"]
    return known


def _oriented(rows: pl.DataFrame) -> Floats:
    """Returns the values oriented so that higher is better, so that analyses need not know a metric's direction."""
    values, metrics = rows["value"].cast(pl.Float64).to_numpy().copy(), rows["metric"].cast(pl.Categorical)
    for code, name in _texts(metrics.unique()).items():
        metric = load_metric(name)
        if not metric.higher_is_better:
            places = metrics.to_physical().to_numpy() == code
            values[places] = metric.oriented(values[places])
    return values


def _texts(categories: pl.Series) -> dict[int, str]:
    """Returns code → text of a categorical series."""
    return dict(zip(categories.to_physical().to_list(), categories.to_list(), strict=True))


def score_matrix(evidence: Evidence, task: str, split: str) -> ScoreMatrix | None:
    """Returns the score matrix of one evaluation set; None where it has no rows. Infinite scores count as missing.

    Raises `DataError` where a cell has an example twice.
    """
    if (task, split) not in evidence.memo:
        evidence.memo[task, split] = _score_matrix(_columns(evidence), task, split)
    known: ScoreMatrix | None = evidence.memo[task, split]
    return known


def _score_matrix(columns: _Columns, task: str, split: str) -> ScoreMatrix | None:
    """Builds the matrix of one evaluation set; rows and columns are in order of first appearance."""
    rows = columns.rows.get((task, split))
    if rows is None:
        return None
    cell, metric, example, cluster = (codes[rows].astype(np.int64) for codes in columns.codes.values())
    pair, score_row = _by_appearance(cell << 32 | metric)
    first, place = _by_appearance(example)
    if np.bincount(score_row * len(first) + place).max() > 1:
        raise DataError(f"a cell on {task}/{split} holds an example twice", "score each prediction once")
    values = np.full((len(pair), len(first)), np.nan)
    values[score_row, place] = columns.values[rows]
    _, groups = _by_appearance(cluster[first])
    cells, metrics = columns.names["cell"], columns.names["metric"]
    pairs = zip((cell[pair]).tolist(), metric[pair].tolist(), strict=True)
    return ScoreMatrix(task, split, tuple(columns.scores[cells[c], metrics[m]] for c, m in pairs), values, groups)


def _by_appearance(codes: Ints) -> tuple[Ints, Ints]:
    """Ranks codes by first appearance: returns (first row of each distinct code, rank of each row's code).

    Category codes differ between processes; ordering by them would change the bootstrap draws of clusters.
    """
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]


def fewest_shots(source: ScoreMatrix) -> ScoreMatrix:
    """Returns the score rows with the fewest shots and the smallest shot seed, i.e. zero-shot where it was run."""
    fewest = source.where(shots=min(source.all("shots")))
    return fewest.where(shot_seed=min(fewest.all("shot_seed")))
