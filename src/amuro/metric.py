"""What a metric is: predictions in, a value for each example or for the whole table out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from amuro.errors import DataError
from amuro.types import Kind, Task


@dataclass(frozen=True, slots=True)
class Context:
    """What a metric may know besides the predictions."""

    task: Task
    prior: tuple[float, ...] = ()
    """Mean log-probability of each label, in the order of `Task.labels`, over unlabelled dev prompts of the same
    model, format and number of shots; empty where no dev cell was filled."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One way to judge predictions. Each file of the shelf `metrics/` holds one as its constant `METRIC`.

    A predictions frame has one row an example: example_id, cluster, gold (str), gold_index (int), options (list[str]),
    log_probabilities (list[float], summed over the tokens of an option, in nats), the same after a context that asks
    nothing in unconditional_log_probabilities (often empty), option_tokens and option_bytes (list[int]), output (str),
    stopped (bool); for documents log_probability (float, nats) and bytes (int).
    A metric reads only the columns that its kinds of task have.
    """

    name: str
    description: str
    kinds: tuple[Kind, ...]
    higher_is_better: bool
    rows: Callable[[pl.DataFrame, Context], pl.Series] | None
    """Value of each example (Float64, in the order of the frame); None where only a whole table has a value."""
    aggregate: Callable[[pl.DataFrame, Context], float] | None = None
    """Value of a whole table; None means the mean of the rows."""
    predicts: Callable[[pl.DataFrame, Context], pl.Series] | None = None
    """What the model is taken to answer; None means the likeliest whole answer, or the text that it wrote."""
    needs: str = ""
    """A column that not every cell of these kinds fills: without it the metric is left out."""

    def score(self, predictions: pl.DataFrame, context: Context) -> float:
        """Value of a whole table, on the metric's own scale. Raises DataError on an empty one."""
        if predictions.is_empty():
            raise DataError(f"{self.name} of no predictions of task '{context.task.name}'", "fill the cell first")
        if self.aggregate is not None:
            return self.aggregate(predictions, context)
        if self.rows is None:
            raise TypeError(f"metric '{self.name}' has neither rows nor an aggregate")
        return float(np.mean(self.rows(predictions, context).to_numpy()))


def chosen(predictions: pl.DataFrame, prior: tuple[float, ...] = ()) -> pl.Series:
    """The option of the highest summed log-probability (less its prior, if one is given), as text; the first on a tie.

    Raises DataError where a log-probability is missing or not finite, or where the prior has another length.
    """
    scores = predictions["log_probabilities"]
    _refuse_unfit(predictions)
    if not prior:
        return predictions["options"].list.get(scores.list.arg_max()).alias("predicted")
    adjusted = matrix(predictions, len(prior)) - np.asarray(prior)
    best = pl.Series(np.argmax(adjusted, axis=1))
    return predictions["options"].list.get(best).alias("predicted")


def matrix(predictions: pl.DataFrame, labels: int) -> NDArray[np.float64]:
    """Log-probabilities as an array (examples × labels). Raises DataError where a row has another number of them."""
    lengths = predictions["log_probabilities"].list.len()
    if (lengths != labels).any():
        raise DataError(
            f"a row has {int(lengths.filter(lengths != labels)[0])} log-probabilities where {labels} labels are scored",
            "only tasks of kind 'label' have a prior",
        )
    flat: NDArray[np.float64] = predictions["log_probabilities"].explode().to_numpy().astype(np.float64)
    return flat.reshape(len(predictions), labels)


def likeliest(predictions: pl.DataFrame, adjust: pl.Expr) -> pl.Series:
    """The option whose adjusted score is highest, as text; the first on a tie. `adjust` gives a list for each row.

    Raises DataError where a log-probability is missing or not finite.
    """
    _refuse_unfit(predictions)
    best = predictions.select(adjust.list.arg_max().alias("best"))["best"]
    return predictions["options"].list.get(best).alias("predicted")


def label_prior(dev: pl.DataFrame) -> tuple[float, ...]:
    """Mean log-probability of each label over the prompts of a dev cell; the golds are not read."""
    _refuse_unfit(dev)
    return tuple(float(mean) for mean in matrix(dev, int(dev["log_probabilities"].list.len()[0])).mean(axis=0))


def _refuse_unfit(predictions: pl.DataFrame) -> None:
    scores = predictions["log_probabilities"]
    if np.isfinite(scores.explode().to_numpy()).all():  # an empty or null list explodes to null, which is not finite
        return
    fit = scores.list.eval(pl.element().is_finite().fill_null(False)).list.all() & (scores.list.len() > 0)
    bad = predictions.filter(~fit.fill_null(False))
    raise DataError(
        f"the log-probabilities of example {bad['example_id'][0]} are {bad['log_probabilities'].to_list()[0]}",
        "the weights or the precision overflow; try --dtype float32",
    )
