"""Matches scores of two studies that agree in every other coordinate; what differs is named and
never averaged over.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from amuro.core.coordinates import EVALUATION, PROMPT, SETTING, TUNING

KEYS = ("place", *TUNING, *EVALUATION, "role", *PROMPT, *SETTING, "metric")
"""What two scores must share besides the weights, which are compared; where there are several series, that as well."""
OUTCOME = ("value", "se", "n", "clusters", "evidence", "learning_rate", "chance", "kind", "tokens", "step", "cell",
           "shots_shown")  # fmt: skip
Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Reason:
    """Rows of the two studies that would match except for one coordinate."""

    coordinate: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class MatchedScores:
    """`rows`: one per matched score, columns of the second ending in `_right`, and difference, low, high."""

    rows: pl.DataFrame
    unmatched: tuple[int, int]
    ambiguous: int
    """Keys that stand for several rows of a study: left out."""
    rates_differ: int
    """Matched rows whose learning rates are not the same."""
    reasons: tuple[Reason, ...]


def match(left: pl.DataFrame, right: pl.DataFrame) -> MatchedScores:
    """Returns the scores of two studies that agree in every coordinate but the weights, without dev splits."""
    keys = [*KEYS, *(["series"] if _several(left, right) else [])]
    (mine, twice), (others, twice_too) = (_placed(frame, keys) for frame in (left, right))
    joined = mine.join(others, on=keys, how="inner", nulls_equal=True, suffix="_right", maintain_order="left")
    lone = [one.join(other, on=keys, how="anti", nulls_equal=True) for one, other in ((mine, others), (others, mine))]
    rates = joined.filter(pl.col("learning_rate").ne_missing(pl.col("learning_rate_right"))).height
    return MatchedScores(
        _with_difference(joined), (lone[0].height, lone[1].height), twice + twice_too, rates,
        _reasons(lone[0], lone[1], keys),
    )  # fmt: skip


def _several(left: pl.DataFrame, right: pl.DataFrame) -> bool:
    return left["series"].n_unique() > 1 or right["series"].n_unique() > 1


def _placed(scores: pl.DataFrame, keys: list[str]) -> tuple[pl.DataFrame, int]:
    """Returns (rows with their place over pre-training, number of ambiguous keys, which are left out)."""
    counted = "tokens " + pl.col("tokens").cast(pl.String)
    place = pl.when(pl.col("tokens").is_null()).then("step " + pl.col("step").cast(pl.String)).otherwise(counted)
    rows = scores.filter(pl.col("split") != "dev").with_columns(place.alias("place"))
    rows = rows.select(*keys, *OUTCOME)
    several = rows.select(keys).is_duplicated()
    return rows.filter(~several), rows.filter(several).select(keys).n_unique() if several.any() else 0


def _with_difference(joined: pl.DataFrame) -> pl.DataFrame:
    """Adds value_right − value with the interval of two independent samples: ± 1.96 · √(se² + se_right²)."""
    value = pl.col("value_right") - pl.col("value")
    half = Z_95 * (pl.col("se").pow(2) + pl.col("se_right").pow(2)).sqrt()
    return joined.with_columns(difference=value, low=value - half, high=value + half)


def _reasons(left: pl.DataFrame, right: pl.DataFrame, keys: list[str]) -> tuple[Reason, ...]:
    """Returns, per coordinate, the unmatched rows that differ only in it, the most frequent first."""
    found = [_reason(left, right, keys, name) for name in keys]
    return tuple(sorted((r for r in found if r.rows), key=lambda r: -r.rows))


def _reason(left: pl.DataFrame, right: pl.DataFrame, keys: list[str], name: str) -> Reason:
    rest = [key for key in keys if key != name]
    mine = left.join(right.select(rest).unique(), on=rest, how="semi", nulls_equal=True)
    others = right.join(left.select(rest).unique(), on=rest, how="semi", nulls_equal=True)
    return Reason(name, _values(mine, name), _values(others, name), mine.height)


def _values(rows: pl.DataFrame, name: str) -> tuple[str, ...]:
    return tuple(str(value) for value in rows[name].unique().sort().to_list())
