"""How a base model is best asked: over formats, shots, raw or calibrated, chosen where nothing is judged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from amuro.analysis import Evidence
from amuro.panels import Ladder, Panel, constant, panel
from amuro.stats.clustered import Floats

READOUT = ("metric", "format", "shots", "shot_seed")
"""What makes a way of asking."""


@dataclass(frozen=True)
class BestReadout:
    """The base scores of a ladder under the best way of asking at each checkpoint."""

    values: Floats
    """(T, n)"""
    names: tuple[str, ...]
    """(T,) the way of asking that was chosen."""
    constant: bool
    """True where some checkpoint gives one answer to nearly everything, however it is asked."""
    note: str


def _of_base(source: Panel, found: Ladder) -> Panel:
    metrics = ["accuracy", "calibrated_accuracy"] if found.metric == "accuracy" else [found.metric]
    return source.where(
        pl.col("tuned_on") == "none",
        pl.col("series") == found.series,
        pl.col("metric").is_in(metrics),
        pl.col("step").is_in(found.steps.tolist()),
    )


def _means(source: Panel) -> dict[tuple[str | int, ...], float]:
    """(step, metric, format, shots, shot seed) → mean over examples."""
    keys = source.readings.select("step", *READOUT).iter_rows()
    return dict(zip(keys, source.values.mean(axis=1).tolist(), strict=True))


def best_readout(evidence: Evidence, found: Ladder) -> BestReadout:
    """Choose on the task's dev cells, step by step; without dev cells on the same rows, and say so.

    Ways of asking that give one answer to nearly everything stand back behind all others.
    """
    test = _of_base(found.source, found)
    rows = {key: index for index, key in enumerate(_means(test))}
    dead = {cell for metric in set(test.readings["metric"]) for cell in _dead(evidence, test, metric)}
    dev = panel(evidence.items, found.task, "dev")
    chosen_on = _means(_of_base(dev, found)) if dev else {}
    usable = {key: mean for key, mean in (chosen_on or _means(test)).items() if key in rows}
    cells = test.readings.select("cell", "metric").rows()
    picked, names, stuck = [], [], False
    for step in found.steps.tolist():
        of_step = [key for key in (usable or _means(test)) if key[0] == step] or [key for key in rows if key[0] == step]
        alive = [key for key in of_step if cells[rows[key]] not in dead]
        stuck = stuck or not alive
        best = max(alive or of_step, key=lambda key: usable.get(key, 0.0))
        picked.append(rows[best])
        names.append(f"{best[1]}, {best[2]}, {best[3]}-shot")
    note = "" if chosen_on else "The best way of asking was chosen on the same rows: there are no dev cells."
    return BestReadout(test.values[picked], tuple(names), stuck, note)


def _dead(evidence: Evidence, test: Panel, metric: str) -> list[tuple[str, str]]:
    cells = test.readings.filter(pl.col("metric") == metric)["cell"].to_list()
    return [(cell, metric) for cell in constant(evidence, cells, metric)]


def with_best_base(found: Ladder, best: BestReadout) -> Ladder:
    """The same ladder, the base asked in its best way."""
    return replace(found, base=best.values)
