"""Baselines without a language model, beside which tuned scores are reported.

| kind | baselines |
|---|---|
| classification | majority (most frequent label of train) · bag_of_words · last_field_only (in inference: the
hypothesis) |
| multiple_choice | options_only (the words of an option, without the question) |
| generation | constant_string (the best answer of train for every example) · copied_field (the best input repeated) |

Everything is fitted and chosen on train and measured on test.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from amuro.core.types import Example, Task
from amuro.prompts import render
from amuro.run.preflight import constant_answers
from amuro.tasks.metrics import load_metric

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_WORD = re.compile(r"\w+")
_CANDIDATES = 50
"""Most frequent answers of train that are tried as the constant string."""
_LEARNED = 10_000
"""Most rows of train on which a classifier is fitted: the first ones. Some data sets have hundreds of thousands."""
_JUDGED = 500
"""Rows of train on which a constant or a field is chosen; more rows do not change the choice."""

Features = tuple[Hashable, ...]
Answer = Callable[[Example], str]
"""Example → output."""
Judge = Callable[[Sequence[Example]], float]
"""A fitted baseline: test set → its score."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline and its value of the task's own metric."""

    name: str
    value: float


def baselines(
    task: Task, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]
) -> dict[str, tuple[Baseline, ...]]:
    """Returns test set → the baselines of the task's kind, each fitted once. Deterministic.

    Empty for language modelling and for metrics without a best value.
    """
    judged = task.kind in _FITS and load_metric(task.metric).best is not None
    fitted = _FITS[task.kind](task, train[:_LEARNED]) if judged else {}
    return {name: tuple(Baseline(b, value(test)) for b, value in fitted.items()) for name, test in tests.items()}


def _label_baselines(task: Task, train: Sequence[Example]) -> dict[str, Judge]:
    """Fits the baselines of classification."""
    return {
        "majority": majority(task, train),
        "bag_of_words": bag_of_words(task, train, [key for key, _ in task.fields]),
        "last_field_only": bag_of_words(task, train, [task.fields[-1][0]]),
    }


def _choice_baselines(task: Task, train: Sequence[Example]) -> dict[str, Judge]:
    """Fits the baselines of multiple choice."""
    return {"options_only": options_only(task, train)}


def _generation_baselines(task: Task, train: Sequence[Example]) -> dict[str, Judge]:
    """Fits the baselines of generation."""
    return {"constant_string": constant_string(task, train), "copied_field": copied_field(task, train)}


_FITS = {"classification": _label_baselines, "multiple_choice": _choice_baselines, "generation": _generation_baselines}
"""Task kind → the function that fits its baselines."""


def majority(task: Task, train: Sequence[Example]) -> Judge:
    """Fits: every answer is the most frequent label of train."""
    [(label, _)] = Counter(example.answer for example in train).most_common(1)
    return lambda test: constant_answers.score(
        task, constant_answers.picked(task, test, [task.labels.index(label)] * len(test))
    )


def bag_of_words(task: Task, train: Sequence[Example], fields: Sequence[str]) -> Judge:
    """Fits multinomial logistic regression on which words occur in which of the fields."""

    def alternatives(example: Example) -> list[Features]:
        seen = dict.fromkeys((field, word) for field in fields for word in _words(example.inputs[field]))
        return [(*((label, *feature) for feature in seen), (label,)) for label in task.labels]

    return _choosing(task, alternatives, train)


def options_only(task: Task, train: Sequence[Example]) -> Judge:
    """Fits logistic regression among an example's options on their words and their number of words."""

    def alternatives(example: Example) -> list[Features]:
        return [tuple(dict.fromkeys([*_words(option), len(_words(option))])) for option in example.options]

    return _choosing(task, alternatives, train)


def constant_string(task: Task, train: Sequence[Example]) -> Judge:
    """Fits: every answer is the string that scores best on train."""
    frequent = [answer for answer, _ in Counter(example.answer for example in train).most_common(_CANDIDATES)]
    worth = _worth(task, train[:_JUDGED])
    best = max(frequent, key=lambda answer: worth(lambda example: answer))
    return lambda test: _score(task, test, lambda example: best)


def copied_field(task: Task, train: Sequence[Example]) -> Judge:
    """Fits: every answer repeats the field that scores best on train."""
    fields = [key for key, _ in task.fields]
    worth = _worth(task, train[:_JUDGED])
    best = max(fields, key=lambda field: worth(lambda example: example.inputs[field]))
    return lambda test: _score(task, test, lambda example: example.inputs[best])


def _score(task: Task, examples: Sequence[Example], answer: Answer) -> float:
    """Returns the task's metric of these answers."""
    return constant_answers.score(task, constant_answers.written(examples, _outputs(examples, answer)))


def _worth(task: Task, examples: Sequence[Example]) -> Callable[[Answer], float]:
    """Returns a function that scores candidate answers on these examples, higher is better.

    The table of predictions is made once, because there are many candidates; only its outputs change.
    """
    metric, table = load_metric(task.metric), constant_answers.written(examples, [""] * len(examples))

    def worth(answer: Answer) -> float:
        predictions = table.with_columns(output=pl.Series(_outputs(examples, answer), dtype=pl.String))
        return metric.oriented(metric.score(predictions, constant_answers.context(task)))

    return worth


def _outputs(examples: Sequence[Example], answer: Answer) -> list[str]:
    """Returns the answers as a model would generate them, after a space."""
    return [f" {answer(example)}" for example in examples]


def _words(text: str) -> list[str]:
    """Returns the lower-case words of a text."""
    return _WORD.findall(text.lower())


def _choosing(task: Task, alternatives: Callable[[Example], list[Features]], train: Sequence[Example]) -> Judge:
    """Fits conditional logistic regression among each example's alternatives; the result scores by
    the task's metric.
    """
    known: dict[Hashable, int] = {}
    for example in train:
        for features in alternatives(example):
            for feature in features:
                known.setdefault(feature, len(known))
    design, starts = _design(map(alternatives, train), known)
    weights = _fit(design, starts, starts + np.array([render.gold(task, example) for example in train]))

    def judge(test: Sequence[Example]) -> float:
        design, starts = _design(map(alternatives, test), known)
        groups = np.split(design @ weights, starts[1:])
        return constant_answers.score(
            task, constant_answers.picked(task, test, [int(np.argmax(scores)) for scores in groups])
        )

    return judge


def _design(groups: Iterable[list[Features]], known: Mapping[Hashable, int]) -> tuple[csr_matrix, NDArray[np.int64]]:
    """Returns the design matrix, one row per alternative (0/1 per known feature), and each example's first row."""
    indices: list[int] = []
    ends, starts = [0], []
    for group in groups:
        starts.append(len(ends) - 1)
        for features in group:
            indices += sorted(known[feature] for feature in features if feature in known)
            ends.append(len(indices))
    from scipy.sparse import csr_matrix  # half a second, which a run without lost audits need not spend

    matrix = csr_matrix((np.ones(len(indices)), indices, ends), shape=(len(ends) - 1, len(known)))
    return matrix, np.array(starts)


def _fit(design: csr_matrix, starts: NDArray[np.int64], golds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns maximum-likelihood weights with an L2 penalty of the size of one prior observation (1/n)."""
    from scipy.optimize import minimize

    sizes = np.diff(np.append(starts, design.shape[0]))
    right = np.zeros(design.shape[0])
    right[golds] = 1.0

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = design @ weights
        scores -= np.repeat(np.maximum.reduceat(scores, starts), sizes)
        total = np.repeat(np.add.reduceat(np.exp(scores), starts), sizes)
        slope = design.T @ (np.exp(scores) / total - right) + weights
        value = np.sum(np.log(total[golds]) - scores[golds]) + 0.5 * weights @ weights
        return float(value) / len(starts), slope / len(starts)

    start = np.zeros(design.shape[1])
    fitted: NDArray[np.float64] = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-5}).x
    return fitted
