"""Results and samples with the layout and the names of lm-evaluation-harness, a folder for each model.

What was not recorded is not made up: whether an option was also the greedy one stands as null, and of a prompt there is
the hash (its first 16 digits). A task is asked in several ways, so its name here says which: TASK_SPLIT_FORMAT_KSHOT.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from amuro.core.coordinates import MODEL, PROMPT, SETTING
from amuro.report.exporters._lm_eval_samples import safe, samples, sha256
from amuro.report.exporters.base import Exporter, File, Source
from amuro.report.files import as_json_value
from amuro.report.formatting import higher_is_better, metric_facts

OUTPUTS = {"classification": "multiple_choice", "multiple_choice": "multiple_choice", "generation": "generate_until",
           "language_modeling": "loglikelihood_rolling"}  # fmt: skip
COORDINATES = (*MODEL, "tokens")
"""Of a model; the rest of a cell's coordinates stands with each task."""
WAYS = ("split", "role", *PROMPT, *SETTING)


def files(source: Source) -> Iterator[File]:
    """Yields lm_eval/MODEL/results_amuro.json and lm_eval/MODEL/samples_TASK_amuro.jsonl of base and tuned models."""
    scores = source.book.scores.filter(pl.col("split") != "dev") if source.book.scores.height else source.book.scores
    if not scores.height:
        return
    models = scores.with_columns(pl.col("cell").str.split("|").list.first().alias("model"))
    values = source.book.items.partition_by("cell", as_dict=True)
    for (model,), rows in models.group_by("model", maintain_order=True):
        folder, cells = f"lm_eval/{safe(str(model))}", _by_cell(rows)
        yield f"{folder}/results_amuro.json", json.dumps(results(str(model), cells), indent=1, ensure_ascii=False)
        for name, found in cells.items():
            cell = found[0]["cell"]
            kept = source.predictions(cell)
            if kept is not None:
                lines = samples(kept, _named(values.get((cell,))), found[0]["kind"])
                yield f"{folder}/samples_{name}_amuro.jsonl", "".join(lines)


def _by_cell(rows: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Returns task name, unique within a model → the rows of that cell, one per metric."""
    found: dict[str, list[dict[str, Any]]] = {}
    for _, group in rows.group_by("cell", maintain_order=True):
        metrics = group.to_dicts()
        first = metrics[0]
        name = safe(f"{first['task']}_{first['split']}_{first['format']}_{first['shots']}shot")
        found[f"{name}-{sha256(first['cell'])[:6]}" if name in found else name] = metrics
    return found


def results(model: str, cells: Mapping[str, list[dict[str, Any]]]) -> Any:
    """Returns the content of lm-eval's results_*.json, as far as it is recorded here."""
    first = next(iter(cells.values()))[0]
    return as_json_value({
        "results": {name: {"alias": name, **_metrics(rows)} for name, rows in cells.items()},
        "group_subtasks": {name: [] for name in cells},
        "configs": {name: _config(name, rows[0]) for name, rows in cells.items()},
        "versions": dict.fromkeys(cells, 1),
        "n-shot": {name: rows[0]["shots"] for name, rows in cells.items()},
        "higher_is_better": {
            name: {_name(r["metric"]): higher_is_better(r["metric"]) for r in rows}
            for name, rows in cells.items()
        },
        "n-samples": {name: {"original": rows[0]["n"], "effective": rows[0]["n"]} for name, rows in cells.items()},
        "config": {"model": "amuro", "model_args": {name: first[name] for name in COORDINATES}},
        "model_source": "amuro", "model_name": model, "model_name_sanitized": safe(model),
    })  # fmt: skip


def _name(metric: str) -> str:
    """Returns a metric's name in lm-eval."""
    facts = metric_facts(metric)
    return facts.lm_eval if facts and facts.lm_eval else metric


def _metrics(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns each metric with its standard error, which here is clustered."""
    named = [(_name(row["metric"]), row) for row in rows]
    return {
        key: value
        for name, row in named
        for key, value in ((f"{name},none", row["value"]), (f"{name}_stderr,none", row["se"]))
    }


def _config(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    ways = {key: row[key] for key in WAYS}
    return {"task": name, "output_type": OUTPUTS[row["kind"]], "num_fewshot": row["shots"],
            "metadata": {"amuro_task": row["task"], "cell": row["cell"], **ways}}  # fmt: skip


def _named(items: pl.DataFrame | None) -> dict[str, dict[str, float]]:
    """Returns example → metric by its lm-eval name → value."""
    found: dict[str, dict[str, float]] = {}
    if items is not None:
        for example, metric, value in items.select("example_id", "metric", "value").iter_rows():
            found.setdefault(example, {})[_name(metric)] = value
    return found


EXPORTER = Exporter(
    "lm_eval", "results and samples with the names of lm-evaluation-harness",
    "https://github.com/EleutherAI/lm-evaluation-harness", files, large=True,
)  # fmt: skip
