"""Bits per byte of text: a loss that can be compared across tokenizers."""

import math

import polars as pl

from amuro.tasks.metrics.base import Context, Metric


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns −log₂ probability of each document divided by its length in bytes."""
    return (-predictions["log_probability"] / math.log(2) / predictions["bytes"]).cast(pl.Float64).alias("value")


def aggregate(predictions: pl.DataFrame, context: Context) -> float:
    """Returns the ratio of sums: long documents weigh more, as they do in the loss."""
    return -float(predictions["log_probability"].sum()) / math.log(2) / int(predictions["bytes"].sum())


METRIC = Metric(
    "bits_per_byte",
    "bits needed for a byte of text",
    ("language_modeling",),
    False,
    rows,
    aggregate,
    share=False,
    unit="bits",
)
