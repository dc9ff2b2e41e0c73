"""The contract of metrics, run by `amuro check`."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from amuro.core import registry
from amuro.core.errors import StudyError
from amuro.tasks import load_task
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import EDGE, Context, Metric


def check(metric: Metric) -> Iterator[str]:
    """Checks that each row gets a value in range, that correct answers get the best value and score no worse than
    wrong ones on every kind, and that the metrics it names exist.

    Yields one line per passed check. Raises StudyError at the first fault.
    """
    for other in (*metric.format_free.values(), *([metric.calibrates] if metric.calibrates else [])):
        load_metric(other)
    for name in registry.names("tasks"):
        task = load_task(name)
        if task.kind not in metric.kinds:
            continue
        context = Context(task, prior=(0.0,) * len(task.labels))
        right, wrong = (metric.score(_predictions(good, len(context.prior)), context) for good in (True, False))
        if (right < wrong) == metric.higher_is_better and right != wrong:
            raise StudyError(f"{metric.name} gives {right} to right and {wrong} to wrong answers of {name}",
                             cure="check higher_is_better")  # fmt: skip
        if metric.best is not None and abs(right - metric.best) > EDGE:
            raise StudyError(f"{metric.name} gives {right} to right answers of {name}, and {metric.best} is its best",
                             cure="say share=False where values have no common range")  # fmt: skip
        rows = metric.rows(_predictions(True, len(task.labels)), context) if metric.rows else None
        if rows is not None and len(rows) != 4:
            raise StudyError(f"{metric.name} gives {len(rows)} values for 4 rows of {name}", cure="one value a row")
    yield f"judges {', '.join(metric.kinds)}; right answers score no worse than wrong ones"


def _predictions(right: bool, labels: int) -> pl.DataFrame:
    """Returns four correct or four wrong predictions."""
    gold = [0, 1, 0, 1]
    predicted = gold if right else [1, 0, 1, 0]
    words = ["yes it is", "no it is not", *(f"answer {i}" for i in range(2, labels))]
    scores = [[-1.0 if i == s else -4.0 for i in range(len(words))] for s in predicted]
    return pl.DataFrame(
        {
            "example_id": list("abcd"), "cluster": list("aabb"), "gold": [words[g] for g in gold], "gold_index": gold,
            "options": [words] * 4, "log_probabilities": scores, "option_tokens": [[3] * len(words)] * 4,
            "option_bytes": [[9] * len(words)] * 4, "output": [words[s] for s in predicted], "stopped": [right] * 4,
            "log_probability": [-10.0 if right else -90.0] * 4, "bytes": [40] * 4,
        }
    )  # fmt: skip
