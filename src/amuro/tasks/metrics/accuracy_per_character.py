"""Share of examples whose gold option has the highest log-probability per character: lm-evaluation-harness's
acc_norm.

The space before an option is scored and not counted. The harness calls these bytes and divides by characters.
"""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric, guessed, likeliest, right


def predicts(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns the option with the highest log-probability per character, as text."""
    return likeliest(predictions, _score(context))


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns 1 if that option is the gold text, else 0."""
    return right(predictions, _score(context))


def _score(context: Context) -> pl.Expr:
    """Returns the log-probability per character of each option."""
    mark = len(context.task.answer_suffix)
    return pl.col("log_probabilities") / pl.col("options").list.eval(pl.element().str.len_chars() + mark)


METRIC = Metric(
    "accuracy_per_character", "the likeliest option a character is the right one", ("multiple_choice",), True, rows,
    predicts=predicts, binary=True, chance=guessed, label="accuracy per character", lm_eval="acc_norm",
)  # fmt: skip
