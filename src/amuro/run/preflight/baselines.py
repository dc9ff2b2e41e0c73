"""What a set gives away without a language model: the controls beside which a tuned score is read.

| kind | baselines |
|---|---|
| label | majority (the most frequent label of train) · bag_of_words · last_field_only (in inference: the hypothesis) |
| choice | options_only (the words of an option, the question unread) |
| generate | constant_string (the best answer of train given to everything) · copied_field (the best input given back) |

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
"""How many of the most frequent answers of train may become the constant string."""
_LEARNED = 10_000
"""On how many rows of train a classifier is fitted: the first ones. Some data sets have hundreds of thousands."""
_JUDGED = 500
"""On how many rows of train a constant or a field is chosen; more do not change which is best."""

Features = tuple[Hashable, ...]
Answer = Callable[[Example], str]
Judge = Callable[[Sequence[Example]], float]
"""A fitted baseline: test set → its score."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """`value` is that of the task's own metric."""

    name: str
    value: float


def baselines(
    task: Task, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]
) -> dict[str, tuple[Baseline, ...]]:
    """Test set → the baselines of the task's kind; none for documents, and none where the task's metric has no best
    value, which an answer without a likelihood could reach. Each is fitted once. Deterministic.
    """
    judged = task.kind in _FITS and load_metric(task.metric).best is not None
    fitted = _FITS[task.kind](task, train[:_LEARNED]) if judged else {}
    return {name: tuple(Baseline(b, value(test)) for b, value in fitted.items()) for name, test in tests.items()}


def _label_baselines(task: Task, train: Sequence[Example]) -> dict[str, Judge]:
    return {
        "majority": majority(task, train),
        "bag_of_words": bag_of_words(task, train, [key for key, _ in task.fields]),
        "last_field_only": bag_of_words(task, train, [task.fields[-1][0]]),
    }


def _choice_baselines(task: Task, train: Sequence[Example]) -> dict[str, Judge]:
    return {"options_only": options_only(task, train)}


def _generation_baselines(task: Task, train: Sequence[Example]) -> dict[str, Judge]:
    return {"constant_string": constant_string(task, train), "copied_field": copied_field(task, train)}


_FITS = {"classification": _label_baselines, "multiple_choice": _choice_baselines, "generation": _generation_baselines}


def majority(task: Task, train: Sequence[Example]) -> Judge:
    """The task's metric when every answer is the most frequent label of train."""
    [(label, _)] = Counter(example.answer for example in train).most_common(1)
    return lambda test: constant_answers.score(
        task, constant_answers.picked(task, test, [task.labels.index(label)] * len(test))
    )


def bag_of_words(task: Task, train: Sequence[Example], fields: Sequence[str]) -> Judge:
    """The task's metric of multinomial logistic regression on which words stand in which of the fields."""

    def alternatives(example: Example) -> list[Features]:
        seen = dict.fromkeys((field, word) for field in fields for word in _words(example.inputs[field]))
        return [(*((label, *feature) for feature in seen), (label,)) for label in task.labels]

    return _choosing(task, alternatives, train)


def options_only(task: Task, train: Sequence[Example]) -> Judge:
    """The task's metric of logistic regression among an example's options on their words and number of words alone."""

    def alternatives(example: Example) -> list[Features]:
        return [tuple(dict.fromkeys([*_words(option), len(_words(option))])) for option in example.options]

    return _choosing(task, alternatives, train)


def constant_string(task: Task, train: Sequence[Example]) -> Judge:
    """The task's metric when every answer is the one string that does best on train."""
    frequent = [answer for answer, _ in Counter(example.answer for example in train).most_common(_CANDIDATES)]
    worth = _worth(task, train[:_JUDGED])
    best = max(frequent, key=lambda answer: worth(lambda example: answer))
    return lambda test: _score(task, test, lambda example: best)


def copied_field(task: Task, train: Sequence[Example]) -> Judge:
    """The task's metric when the answer repeats the field that does best on train."""
    fields = [key for key, _ in task.fields]
    worth = _worth(task, train[:_JUDGED])
    best = max(fields, key=lambda field: worth(lambda example: example.inputs[field]))
    return lambda test: _score(task, test, lambda example: example.inputs[best])


def _score(task: Task, examples: Sequence[Example], answer: Answer) -> float:
    return constant_answers.score(task, constant_answers.written(examples, _outputs(examples, answer)))


def _worth(task: Task, examples: Sequence[Example]) -> Callable[[Answer], float]:
    """Candidates' scores on these examples, the higher the better. Only the outputs are exchanged: there are many."""
    metric, table = load_metric(task.metric), constant_answers.written(examples, [""] * len(examples))

    def worth(answer: Answer) -> float:
        told = table.with_columns(output=pl.Series(_outputs(examples, answer), dtype=pl.String))
        return metric.oriented(metric.score(told, constant_answers.context(task)))

    return worth


def _outputs(examples: Sequence[Example], answer: Answer) -> list[str]:
    return [f" {answer(example)}" for example in examples]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _choosing(task: Task, alternatives: Callable[[Example], list[Features]], train: Sequence[Example]) -> Judge:
    """Fits conditional logistic regression among each example's alternatives; judges by the task's metric."""
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
            task, constant_answers.picked(task, test, [int(np.argmax(found)) for found in groups])
        )

    return judge


def _design(groups: Iterable[list[Features]], known: Mapping[Hashable, int]) -> tuple[csr_matrix, NDArray[np.int64]]:
    """One row an alternative (0/1 over the known features), and the row at which each example's alternatives start."""
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
    """Weights of greatest likelihood with an L2 penalty of one prior observation's size (1/n)."""
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
