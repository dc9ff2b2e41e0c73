"""Differences between two studies as tables of the page and as rows of a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from amuro.report.compare.match_findings import Matched
from amuro.report.formatting import interval, number, plain, plain_metric, signed, split_words
from amuro.report.naming import roles_of
from amuro.report.tables import Square, Table, step_name
from amuro.results import shots_shown

WAY = ("split", "tuned_on", "recipe", "format", "shots")
"""What names a row of a table; runs of several seeds share one."""
SHADES, FULL_SHADE = 5, 0.3
"""Steps of colour, and the difference at which the strongest is reached."""


def differences(rows: pl.DataFrame, metrics: Mapping[str, str], lower: Collection[str] = ()) -> list[tuple[str, Table]]:
    """(task, table) of its primary metric: a row a way of asking, a column a place, squares B − A.

    lower: metrics that are better the lower.
    """
    if not rows.height:
        return []
    found = []
    for (task,), mine in rows.sort("task", maintain_order=True).group_by("task", maintain_order=True):
        metric = metrics.get(str(task)) or min(mine["metric"])
        judged = mine.filter(pl.col("metric") == metric)
        if judged.height:
            roles = {split: role for (of, split), role in roles_of(rows).items() if of == task}
            found.append((plain(str(task)), _table(judged, metric, -1 if metric in lower else 1, roles)))
    return found


def _table(rows: pl.DataFrame, metric: str, better: int, roles: Mapping[str, str]) -> Table:
    places = rows.select("tokens", "step", "place").unique("place").sort("tokens", "step", nulls_last=True)
    body = []
    for way, mine in sorted(rows.group_by(WAY), key=lambda pair: _order(pair[0])):
        by_place = {place: found for (place,), found in mine.group_by("place")}
        squares = [_square(by_place.get(place), better) for place in places["place"]]
        both = tuple(mine[name].mean() for name in ("shots_shown", "shots_shown_right"))
        body.append((_row_name(dict(zip(WAY, way, strict=True)), roles, both), tuple(squares)))
    head = tuple(step_name(tokens, step) for tokens, step, _ in places.rows())
    words = plain_metric(metric) + (" (lower is better)" if better < 0 else "")
    return Table(words, head, tuple(body))


def _order(way: Sequence[Any]) -> tuple[Any, ...]:
    split, tuned_on, recipe, form, shots = way
    return split, tuned_on != "none", tuned_on, recipe, shots, form != "default", form


def _row_name(way: Mapping[str, Any], roles: Mapping[str, str], both: Sequence[Any]) -> str:
    """Returns the name of a row. `both`: mean number of shots in the prompts of each study."""
    tuned = f"tuned on {plain(way['tuned_on'])}" if way["tuned_on"] != "none" else "base"
    recipe = f" ({plain(way['recipe'])})" if way["tuned_on"] != "none" else ""
    told = shots_shown.in_words(f"{way['shots']} shots", way["shots"], *both) if way["shots"] else ""
    shots = f" · {told}" if told else ""
    asked = split_words(way["split"], roles.get(way["split"], ""))
    return f"{tuned}{recipe} · asked as {plain(way['format'])}{shots} · {asked}"


def _square(rows: pl.DataFrame | None, sign: int) -> Square:
    """Returns B − A at one place; for several seeds the mean of the differences per seed."""
    if rows is None:
        return Square("–", "", "Not both studies have this score.")
    values = [rows[name].mean() for name in ("value", "value_right", "difference")]
    one, other, change = (v if isinstance(v, float) else None for v in values)
    if one is None or other is None or change is None:
        return Square("–", "", "One of the two has no value.")
    better = sign * change
    shade = min(SHADES, round(abs(better) / FULL_SHADE * SHADES))
    css = f"shade-{'up' if better > 0 else 'down'}-{shade}" if shade else ""
    return Square(signed(change), css, _hint(rows), f"{number(one)} → {number(other)}")


def _hint(rows: pl.DataFrame) -> str:
    if rows.height > 1:
        return f"mean over {rows.height} seeds"
    low, high = rows["low"][0], rows["high"][0]
    return f"95 % interval {interval(low, high)}, studies taken as independent" if low is not None else ""


def findings_rows(found: Matched) -> pl.DataFrame:
    """Returns one row per finding of either study."""
    rows = []
    for pair in found.pairs:
        gap = pair.difference
        told = {
            "id": pair.left.id,
            "in": "both",
            "statement_a": pair.left.statement,
            "statement_b": pair.right.statement,
        }
        numbers = {
            "difference": gap and gap.value,
            "difference_low": gap and gap.low,
            "difference_high": gap and gap.high,
        }
        rows.append(
            told | _side(pair.left, "a") | _side(pair.right, "b") | numbers | {"remarks": "; ".join(pair.remarks)}
        )
    for letter, side in (("a", found.only_left), ("b", found.only_right)):
        rows += [{"id": f.id, "in": letter, f"statement_{letter}": f.statement} | _side(f, letter) for f in side]
    names = [
        *("id", "in", "statement_a", "statement_b", "remarks"),
        *(f"{n}_{s}" for s in "ab" for n in ("verdict", "evidence")),
    ]
    floats = [
        *(f"{n}_{s}" for s in "ab" for n in ("effect", "low", "high")),
        "difference",
        "difference_low",
        "difference_high",
    ]
    return pl.DataFrame(rows, schema={**dict.fromkeys(names, pl.String), **dict.fromkeys(floats, pl.Float64)})


def _side(found: Any, letter: str) -> dict[str, Any]:
    return {f"{name}_{letter}": getattr(found, name) for name in ("verdict", "evidence", "effect", "low", "high")}
