"""The contract of metrics: predictions in, a value per example or per table out, and the facts about the metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from amuro.core.errors import AmuroError, DataError
from amuro.core.types import Kind, Task

UNCONDITIONAL = "unconditional_log_probabilities"
"""Column of the options' log-probabilities after the task's unconditional context."""
CONTEXTS = "option_contexts"
"""Column of the context of each option, if options have contexts of their own; else empty lists."""
FORMAT_FREE: Mapping[Kind, str] = {"classification": "calibrated_accuracy", "generation": "log_likelihood"}
"""Task kind → the metric that scores the same answers without their format; options are scored so already."""
EDGE = 1e-9
"""Rounding may carry a share this far beyond 0 or 1."""
Values = TypeVar("Values", float, NDArray[np.float64], pl.Expr)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """What a metric may use besides the predictions."""

    task: Task
    prior: tuple[float, ...] = ()
    """Mean log-probability of each label, in the order of `Task.labels`, over unlabelled dev prompts of the same
    model, format and number of shots; empty if no dev cell was filled.
    """


@dataclass(frozen=True, slots=True)
class Metric:
    """One way to judge predictions. Each plugin of `metrics/` holds one as its constant `METRIC`.

    A predictions frame has one row an example: example_id, cluster, gold (str), gold_index (int), options (list[str]),
    log_probabilities (list[float], summed over the tokens of an option, in nats), the same after a context that asks
    nothing in unconditional_log_probabilities (often empty), option_tokens and option_bytes (list[int]),
    option_contexts (list[str], often empty), output (str, as the gold is: without the one space that parts prompt and
    answer, which kept predictions have), stopped (bool); for documents log_probability (float, nats)
    and bytes (int).
    A metric reads only the columns that its kinds of task have.
    """

    name: str
    """The name of its file; dotted if it is outside the package."""
    description: str
    kinds: tuple[Kind, ...]
    higher_is_better: bool
    rows: Callable[[pl.DataFrame, Context], pl.Series] | None
    """Returns the value of each example (Float64, in the order of the frame). None if only a whole table has a value:
    such a metric is shown, and cannot be the metric of a task.
    """
    aggregate: Callable[[pl.DataFrame, Context], float] | None = None
    """Returns the value of a whole table; None means the mean of the rows."""
    predicts: Callable[[pl.DataFrame, Context], pl.Series] | None = None
    """Returns the model's answers; None means the most likely option, or the generated text."""
    needs: str = ""
    """A column that not every cell of these kinds has: without it the metric is left out."""
    needs_prior: bool = False
    """Whether it reads `Context.prior`, and so the dev rows of the same model, format and number of shots."""
    share: bool = True
    """Whether values are between 0 and 1 and one of the two is perfect. Otherwise there is no common range: nothing
    is expressed as a share of the distance to perfect, and the smallest effect of interest is in the metric's own
    unit.
    """
    binary: bool = False
    """Whether every example is either correct or wrong (1 and 0, or 0 and 1)."""
    chance: Callable[[float], float] | None = None
    """Accuracy of guessing → this metric's value of guessing. None: unknown, so that no ability is compared with
    guessing. For generation the worst value takes its place.
    """
    format_free: Mapping[Kind, str] = field(default_factory=lambda: FORMAT_FREE)
    """Task kind → the metric that must fall as well before a loss counts as more than a change of format."""
    calibrates: str = ""
    """The metric of which this is a variant on the same scale: a base model may be scored by either."""
    label: str = ""
    """Its name in print; '' means its name with spaces."""
    unit: str = ""
    """Unit of its values, such as nats; '' for shares."""
    lm_eval: str = ""
    """Its name in lm-evaluation-harness, if that differs."""

    @property
    def words(self) -> str:
        """Its name in print."""
        return self.label or self.name.rpartition(".")[2].replace("_", " ")

    @property
    def best(self) -> float | None:
        """The value of a perfect answer; None without a common range."""
        return self.oriented(1.0) if self.share else None

    def oriented(self, values: Values) -> Values:
        """Returns the values so that higher is better, shares from 0 (worst) to 1 (perfect). Idempotent."""
        if self.higher_is_better:
            return values
        return -values + 1 if self.share else -values  # a column keeps its name

    def unfit(self, task: Task) -> str:
        """Returns why this cannot be the metric of a task, as the end of a sentence; '' if it can."""
        if task.kind not in self.kinds:
            return f"judges tasks of kind {', '.join(self.kinds)}, and the task is of kind {task.kind}"
        if self.rows is None:
            return "has a value for a whole table only, and findings need one for each example"
        if self.needs_prior and "dev" not in task.splits:
            return "reads each label's mean on dev rows, and the task has no split 'dev'"
        if self.needs == UNCONDITIONAL and not task.unconditional:
            return "reads the options after a context that asks nothing, and the task names none"
        return ""

    def predicted(self, predictions: pl.DataFrame, context: Context) -> pl.Series:
        """Returns the model's answers. Raises DataError if `predicts` fails, TypeError if there is none."""
        if self.predicts is None:
            raise TypeError(f"metric '{self.name}' has no predicts")
        return self._asked(self.predicts, predictions, context)

    def score(self, predictions: pl.DataFrame, context: Context) -> float:
        """Returns the value of a whole table, on the metric's own scale. Raises DataError for an empty table."""
        if predictions.is_empty():
            raise DataError(f"{self.name} of no predictions of task '{context.task.name}'", "fill the cell first")
        if self.aggregate is not None:
            return self.whole(predictions, context)
        return float(np.mean(self.values(predictions, context).to_numpy()))

    def values(self, predictions: pl.DataFrame, context: Context) -> pl.Series:
        """Returns the value of each example. Raises DataError if one is not finite or contradicts
        the metric's facts.
        """
        if self.rows is None:
            raise TypeError(f"metric '{self.name}' has no rows")
        values = pl.Series("value", self._asked(self.rows, predictions, context)).cast(pl.Float64)
        if len(values) != len(predictions):
            raise self._broken(context, f"gives {len(values)} values for {len(predictions)} rows", "one value a row")
        if (fault := self._fault(values)) and len(bad := predictions.filter(fault[0])):
            value, example = values.filter(fault[0])[0], bad["example_id"][0]
            raise self._broken(context, f"gives {value} to example {example}, {fault[1]}", fault[2])
        return values

    def whole(self, predictions: pl.DataFrame, context: Context) -> float:
        """Returns the value of a whole table by `aggregate`. Raises DataError if it is not finite or out of range."""
        if self.aggregate is None:
            raise TypeError(f"metric '{self.name}' has no aggregate")
        value = float(self._asked(self.aggregate, predictions, context))
        if not np.isfinite(value) or (self.share and not 0 <= value <= 1):
            raise self._broken(context, f"gives {value} to {len(predictions)} rows", "mend its aggregate")
        return value

    def _asked(self, of: Callable[[pl.DataFrame, Context], T], predictions: pl.DataFrame, context: Context) -> T:
        try:
            return of(_as_the_gold(predictions, context.task), context)
        except AmuroError:
            raise
        except Exception as error:  # a stranger's metric may raise anything
            raise self._broken(context, f"raises {type(error).__name__}: {error}", "mend that file") from error

    def _fault(self, values: pl.Series) -> tuple[pl.Series, str, str] | None:
        """(where, what is wrong with these values, cure); None where they are what the metric says of itself."""
        odd = ~(values.is_finite().fill_null(False))
        if odd.any():
            return odd, "which is no number", "mend that file"
        if self.binary and (odd := ~values.is_in([0.0, 1.0])).any():
            return odd, "and says that it is binary", "give 0 or 1, or say binary=False"
        if self.share and (odd := (values < -EDGE) | (values > 1 + EDGE)).any():
            return odd, "and says that its values lie from 0 to 1", "divide by its range, or say share=False"
        return None

    def _broken(self, context: Context, what: str, cure: str) -> DataError:
        return DataError(f"metric {self.name} {what} on task '{context.task.name}'", cure)


def _as_the_gold(predictions: pl.DataFrame, task: Task) -> pl.DataFrame:
    """The predictions with written texts as the right ones are: an answer follows its prompt after one space, which is
    no part of it. The paper's whole texts (encoding *whole_text*) have none.
    """
    if task.kind != "generation" or task.encoding == "whole_text":
        return predictions
    return predictions.with_columns(pl.col("output").str.strip_prefix(" "))


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
            "only tasks of kind 'classification' have a prior",
        )
    flat: NDArray[np.float64] = predictions["log_probabilities"].explode().to_numpy().astype(np.float64)
    return flat.reshape(len(predictions), labels)


LIKELIEST = pl.col("log_probabilities")
"""The summed log-probabilities of a row's options, for `likeliest` and `right`."""


def likeliest(predictions: pl.DataFrame, adjust: pl.Expr = LIKELIEST) -> pl.Series:
    """The option whose adjusted score is highest, as text; the first on a tie. `adjust` gives a list for each row.

    Raises DataError where a log-probability is missing or not finite.
    """
    return predictions["options"].list.get(_best(predictions, adjust)).alias("predicted")


def right(predictions: pl.DataFrame, adjust: pl.Expr = LIKELIEST) -> pl.Series:
    """Returns 1 if the option with the highest adjusted score is the gold one, else 0. Raises the errors of
    `likeliest`.
    """
    best = _best(predictions, adjust)
    worded, apart = predictions["options"].list.get(best) == predictions["gold"], _apart(predictions)
    found = worded.to_numpy()
    if apart.any():
        found = np.where(apart, (best == predictions["gold_index"]).to_numpy(), found)
    return pl.Series("value", found).cast(pl.Float64)


def _best(predictions: pl.DataFrame, adjust: pl.Expr) -> pl.Series:
    _refuse_unfit(predictions)
    return predictions.select(adjust.list.arg_max().alias("best"))["best"]


def _apart(predictions: pl.DataFrame) -> NDArray[np.bool_]:
    """Returns, per row, whether its options have contexts of their own."""
    if CONTEXTS not in predictions.columns:
        return np.zeros(len(predictions), dtype=bool)
    known: NDArray[np.bool_] = (predictions[CONTEXTS].list.len().fill_null(0) > 0).to_numpy()
    return known


def guessed(probability: float) -> float:
    """Returns the probability itself: `Metric.chance` of metrics that count correct answers."""
    return probability


def guess_rates(predictions: pl.DataFrame, task: Task) -> pl.Series:
    """Returns, per row, the probability that a guess is correct: 1 / labels, or the share of options with the gold
    text; null for generation and language modelling.
    """
    if task.kind == "classification":
        return pl.repeat(1 / len(task.labels), len(predictions), eager=True)
    if task.kind == "multiple_choice":
        each = predictions.select("gold", "options").with_row_index("row").explode("options")
        worded = each.group_by("row", maintain_order=True).agg((pl.col("options") == pl.col("gold")).mean())["options"]
        placed = 1 / predictions["options"].list.len()
        return pl.Series(np.where(_apart(predictions), placed.to_numpy(), worded.to_numpy()))
    return pl.repeat(None, len(predictions), dtype=pl.Float64, eager=True)


def label_prior(dev: pl.DataFrame) -> tuple[float, ...]:
    """Returns the mean log-probability of each label over the prompts of a dev cell; golds are not used."""
    _refuse_unfit(dev)
    return tuple(float(mean) for mean in matrix(dev, int(dev["log_probabilities"].list.len()[0])).mean(axis=0))


def _refuse_unfit(predictions: pl.DataFrame) -> None:
    """Raises DataError if a log-probability is missing or not finite."""
    scores = predictions["log_probabilities"]
    if np.isfinite(scores.explode().to_numpy()).all():  # an empty or null list explodes to null, which is not finite
        return
    fit = scores.list.eval(pl.element().is_finite().fill_null(False)).list.all() & (scores.list.len() > 0)
    bad = predictions.filter(~fit.fill_null(False))
    raise DataError(
        f"the log-probabilities of example {bad['example_id'][0]} are {bad['log_probabilities'].to_list()[0]}",
        "the weights or the precision overflow; try --dtype float32",
    )
