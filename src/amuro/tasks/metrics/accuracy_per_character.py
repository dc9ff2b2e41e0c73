"""Share of examples whose right option has the highest log-probability a character: acc_norm of lm-evaluation-harness.

The space before an option is scored and not counted. The harness speaks of bytes there and divides by characters.
"""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric, guessed, likeliest, right


def predicts(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """The option of the highest log-probability over its length in characters, as text."""
    return likeliest(predictions, _score(context))


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """1 where that option is the gold text, else 0."""
    return right(predictions, _score(context))


def _score(context: Context) -> pl.Expr:
    mark = len(context.task.answer_suffix)
    return pl.col("log_probabilities") / pl.col("options").list.eval(pl.element().str.len_chars() + mark)


METRIC = Metric(
    "accuracy_per_character", "the likeliest option a character is the right one", ("multiple_choice",), True, rows,
    predicts=predicts, binary=True, chance=guessed, label="accuracy per character", lm_eval="acc_norm",
)  # fmt: skip
