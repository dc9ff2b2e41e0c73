"""The unit of work: one model and all its missing cells, in a live process that has the weights."""

from __future__ import annotations

import dataclasses
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from amuro import asks, catalog, data, prompts
from amuro.engine.protocol import Engine
from amuro.errors import AmuroError, DataError, SeriesError, WeightsError
from amuro.identity import digest, tensor_digest
from amuro.plan import SEMANTICS, Plan, candidates, engine_name
from amuro.scores import cell_value
from amuro.store import Store
from amuro.tokens import Encoder
from amuro.types import Cell, Checkpoint, Example, Generation, Model, Recipe, Training

Emit = Callable[[Mapping[str, Any]], None]


class Visitor:
    """Fills cells of one plan into one store with one engine. Rows, ids and base weights are kept between visits."""

    def __init__(self, plan: Plan, store: Store, engine: Engine, emit: Emit) -> None:
        self.plan, self.store, self.engine, self.emit = plan, store, engine, emit
        self._loaded: Checkpoint | None = None
        self._folder: Path | None = None
        self.examples = lru_cache(maxsize=None)(self._examples)
        self._sheet = lru_cache(maxsize=256)(self._make_sheet)
        self._sequences = lru_cache(maxsize=16)(self._make_sequences)
        self._encoder = lru_cache(maxsize=4)(_encoder)

    def visit(self, model: Model, cells: Sequence[Cell]) -> None:
        """Loads, tunes where the model is tuned, fills `cells`, and leaves a cost ledger. One failed cell is
        noted and does not stop the others.
        """
        started, cost = time.monotonic(), {"tokens": 0, "flops": 0.0}
        self.emit({"event": "visit", "model": model.address})
        self._load(model.checkpoint)
        chosen = self._chosen(model, cost) if len(candidates(model)) > 1 else model
        key = self._tuned(chosen, cost) if model.recipe else self._base_key(model.checkpoint)
        filled = self._fill(cells, key, cost)
        self.store.note("ledger", {
            "model": model.address, "seconds": time.monotonic() - started, "cells": filled,
            "tokens": cost["tokens"], "flops": cost["flops"], "tuning_seconds": cost.get("tuning_seconds", 0.0),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "device": self.plan.study.device,
        })  # fmt: skip

    def _fill(self, cells: Sequence[Cell], model_key: str, cost: dict[str, Any]) -> int:
        filled = 0
        for cell in cells:
            try:
                self.fill(cell, model_key, cost)
                filled += 1
                self.emit({"event": "cell", "cell": cell.address})
            except (AmuroError, RuntimeError, ValueError, MemoryError) as error:
                self.store.note("attempts", {"cell": cell.address, "error": f"{type(error).__name__}: {error}"})
                self.emit({"event": "failed", "cell": cell.address, "error": str(error)})
        return filled

    def fill(self, cell: Cell, model_key: str, cost: dict[str, Any]) -> None:
        """Asks the live model one cell's questions and commits its predictions."""
        sheet = self._sheet(*self._sheet_name(cell))
        declared = self.plan.declared(cell)
        key = digest({"address": cell.address, "declared": declared, "ids": sheet.ids_digest, "model": model_key})
        started = time.monotonic()
        frame, tokens = self._predict(cell, sheet)
        cost["tokens"] += tokens
        cost["flops"] += tokens * self.engine.flops_per_token()
        texts_key = digest(sheet.texts["prompt_hash"].to_list())
        self.store.commit("prompts", texts_key, {}, {"prompts.parquet": sheet.texts})
        facts = {"address": cell.address, "coordinates": coordinates(cell), "declared": declared,
                 "model_key": model_key, "ids": sheet.ids_digest, "prompts": texts_key,
                 "seconds": time.monotonic() - started, "tokens": tokens, "provenance": provenance()}  # fmt: skip
        self.store.commit("cells", key, facts, {"predictions.parquet": frame})

    def _predict(self, cell: Cell, sheet: asks.Sheet) -> tuple[pl.DataFrame, int]:
        scored: dict[int, tuple[float, ...]] = {}
        generated: dict[int, Generation] = {}
        tokens = 0
        for ask, rows in sheet.asks(cell):
            tokens += len(ask.prefix) + sum(len(q.context) + sum(map(len, q.options)) for q in ask.queries)
            scored.update(zip(rows, self.engine.score(ask), strict=True))
            if cell.decoding == "greedy":
                answers = self.engine.generate(ask, self._encoder(self._folder).decode)
                generated.update(zip(rows, answers, strict=True))
                tokens += sum(answer.tokens for answer in answers)
        return _predictions(sheet, scored, generated), tokens

    # -- the model

    def _load(self, checkpoint: Checkpoint) -> None:
        if self._loaded == checkpoint:
            self.engine.reset()
            return
        self._folder = folder_of(self.plan, self.store, checkpoint)
        self.engine.load(checkpoint, self._folder)
        self._loaded = checkpoint
        self._refuse_twin(checkpoint)

    def _base_key(self, checkpoint: Checkpoint) -> str:
        if self._folder is None:
            return checkpoint.identity + f"@{checkpoint.step}"
        return tensor_digest(self._folder, self.store.root / "digests.json")

    def _refuse_twin(self, checkpoint: Checkpoint) -> None:
        """Two checkpoints of a series with equal weights: the later one is blocked by name."""
        key = self._base_key(checkpoint)
        if self.plan.study.series[checkpoint.series].allow_duplicates:
            return
        siblings = {c.address for c in self.plan.checkpoints if c.series == checkpoint.series} - {checkpoint.address}
        for other in self.store.manifests("checkpoints"):
            if other["weights"] == key and other["checkpoint"] in siblings:
                raise twin_error(checkpoint.address, other["checkpoint"])
        facts = {"checkpoint": checkpoint.address, "weights": key}
        self.store.commit("checkpoints", digest(facts), facts, {})

    def _tuned(self, model: Model, cost: dict[str, Any]) -> str:
        """Tunes the live model; its key is made of the inputs of its training."""
        assert model.recipe is not None and model.learning_rate is not None
        sequences, ids = self._sequences(model.recipe, str(self._folder))
        key = digest({
            "parent": self._base_key(model.checkpoint), "recipe": dataclasses.asdict(model.recipe) | {"name": ""},
            "learning_rate": model.learning_rate, "tune_seed": model.tune_seed, "semantics": SEMANTICS["tune"],
            "engine": engine_name(self.plan.study), "precision": self.plan.study.precision,
            "device": self.plan.study.device, "ids": ids,
        })  # fmt: skip

        def on_step(done: int, total: int, loss: float) -> None:
            self.emit({"event": "step", "model": model.address, "done": done, "total": total, "loss": loss})

        training = self.engine.tune(sequences, model, model.learning_rate, on_step)
        cost["tokens"] += training.tokens
        cost["flops"] += 3 * training.tokens * self.engine.flops_per_token()
        cost["tuning_seconds"] = cost.get("tuning_seconds", 0.0) + training.seconds
        self._record_training(model, key, training)
        if training.diverged_at is not None:
            raise WeightsError(
                f"tuning {model.address} diverged at step {training.diverged_at}", cure="lower its learning rate"
            )
        return key

    def _record_training(self, model: Model, key: str, training: Training) -> None:
        facts = {k: v for k, v in dataclasses.asdict(training).items() if k != "losses"}
        curve = pl.DataFrame({"loss": list(training.losses)}, schema={"loss": pl.Float64})
        self.store.commit("models", key, {"model": model.address, "training": facts,
                                          "weights": self.engine.weights_digest()}, {"losses.parquet": curve})  # fmt: skip

    def _chosen(self, model: Model, cost: dict[str, Any]) -> Model:
        """The model at the rate that does best on the dev split, by the primary metric; the first one on a tie."""
        scores = {}
        for member in candidates(model):
            key = self._tuned(member, cost)
            dev = [cell for cell in self.plan.visits().get(member, ()) if cell.eval_set.split == "dev"]
            self._fill(dev, key, cost)
            scores[member] = sum(self._dev_score(cell) for cell in dev) / max(len(dev), 1)
        best = max(scores, key=lambda member: scores[member])
        facts = {"chosen_for": model.address, "learning_rate": best.learning_rate,
                 "dev_scores": {f"{m.learning_rate:g}": score for m, score in scores.items()}}  # fmt: skip
        self.store.commit("models", digest(facts), facts, {})
        return best

    def _dev_score(self, cell: Cell) -> float:
        frame = self.store.frame(self.store.cells()[cell.address], "predictions.parquet")
        assert frame is not None
        return cell_value(self.plan.tasks[cell.eval_set.task], frame)

    # -- questions

    def _examples(self, task_name: str, split: str, limit: int | None) -> tuple[Example, ...]:
        task = self.plan.task_with_source(task_name)
        return tuple(data.examples(task, split, self.plan.revision(task_name), limit=limit))

    def _sheet_name(self, cell: Cell) -> tuple[Any, ...]:
        chosen = cell.eval_set
        return (chosen.task, chosen.split, cell.format, cell.shots, cell.shot_seed, cell.limit, str(self._folder))

    def _make_sheet(self, task_name: str, split: str, format_name: str, shots: int, shot_seed: int, limit: int,
                    _folder: str) -> asks.Sheet:  # fmt: skip
        task = self.plan.tasks[task_name]
        pool = self.examples(task_name, "train", None) if shots else ()
        drawn = prompts.draw_shots(task, pool, shots, shot_seed)
        examples = self.examples(task_name, split, limit)
        return asks.sheet(task, format_name, examples, drawn, self._encoder(self._folder), self.engine.context_length())

    def _make_sequences(self, recipe: Recipe, _folder: str) -> tuple[list[Any], str]:
        total = sum(weight for _, weight in recipe.mixture)
        parts = []
        for name, weight in recipe.mixture:
            pool = self.examples(name, "train", None)
            wanted = round(recipe.rows * weight / total)
            if wanted > len(pool):
                raise DataError(
                    f"recipe {recipe.name} asks for {wanted} training rows of {name}, which has {len(pool)}",
                    cure=f"set rows = {int(len(pool) * total / weight)} or fewer",
                )
            parts.append((self.plan.tasks[name], Random(recipe.row_seed).sample(pool, wanted)))
        sequences = asks.training_sequences(parts, recipe, self._encoder(self._folder))
        return sequences, asks.sequences_digest(sequences)


def twin_error(address: str, other: str) -> SeriesError:
    """Why a checkpoint with the weights of another one is not studied."""
    return SeriesError(
        f"{address} has the same weights as {other}",
        cure="take one of them out of the series, or set allow_duplicates = true",
    )


def folder_of(plan: Plan, store: Store, checkpoint: Checkpoint) -> Path | None:
    """Where a checkpoint's weights lie; fetched by the series if need be."""
    return catalog.series(plan.study.series[checkpoint.series].kind).locate(checkpoint, store.root / "series")


def coordinates(cell: Cell) -> dict[str, Any]:
    """Every coordinate of a cell as plain data, for manifests and tidy rows."""
    model, recipe = cell.model, cell.model.recipe
    return {
        "series": model.checkpoint.series, "checkpoint": model.checkpoint.address, "step": model.checkpoint.step,
        "tokens": model.checkpoint.tokens, "unique_tokens": model.checkpoint.unique_tokens,
        "schedule": model.checkpoint.schedule, "model": model.address,
        "tuned_on": recipe.tuned_on if recipe else "none", "recipe": recipe.name if recipe else "none",
        "method": recipe.method if recipe else "none", "tune_format": recipe.format if recipe else "none",
        "tune_seed": -1 if model.tune_seed is None else model.tune_seed, "learning_rate": model.learning_rate,
        "task": cell.eval_set.task, "split": cell.eval_set.split, "format": cell.format, "shots": cell.shots,
        "shot_seed": cell.shot_seed, "decoding": cell.decoding, "protocol": cell.protocol, "limit": cell.limit,
        "precision": cell.precision, "device": cell.device,
    }  # fmt: skip


def _encoder(folder: Path | None) -> Encoder:
    return Encoder.from_folder(folder) if folder else Encoder.of_bytes()


def _predictions(
    sheet: asks.Sheet, scored: Mapping[int, tuple[float, ...]], generated: Mapping[int, Generation]
) -> pl.DataFrame:
    """One row an example, in the order of the set (columns: docs/tour.md)."""
    task, rows = sheet.task, range(len(sheet.examples))
    document = task.kind == "document"
    options = [[] if document else list(prompts.options(task, e)) for e in sheet.examples]
    texts = [[prompts.answer(task, o) for o in row] for row in options]
    return pl.DataFrame(
        {
            "example_id": [e.id for e in sheet.examples],
            "cluster": [e.cluster for e in sheet.examples],
            "gold": ["" if document else e.answer for e in sheet.examples],
            "gold_index": [q.gold for q in sheet.queries],
            "options": options,
            "log_probabilities": [[] if document else list(scored[i]) for i in rows],
            "option_tokens": [[] if document else [len(o) for o in q.options] for q in sheet.queries],
            "option_bytes": [[len(f" {text}".encode()) for text in row] for row in texts],
            "output": [generated[i].text if i in generated else None for i in rows],
            "stopped": [generated[i].stopped if i in generated else None for i in rows],
            "log_probability": [scored[i][0] if document else None for i in rows],
            "bytes": [len(e.answer.encode()) if document else None for e in sheet.examples],
            "k_effective": sheet.k_effective(),
            "truncated": list(sheet.truncated),
            "prompt_hash": sheet.texts["prompt_hash"],
        },
        schema_overrides={
            "options": pl.List(pl.String), "log_probabilities": pl.List(pl.Float64), "option_tokens": pl.List(pl.Int64),
            "option_bytes": pl.List(pl.Int64), "output": pl.String, "stopped": pl.Boolean, "log_probability": pl.Float64,
            "bytes": pl.Int64,
        },
    )  # fmt: skip


@lru_cache(maxsize=1)
def provenance() -> dict[str, str]:
    """What was installed, and on what: recorded, never part of a key."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    def installed(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "absent"

    packages = ("amuro", "torch", "transformers", "tokenizers", "safetensors", "peft", "datasets", "numpy")
    return {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system(),
            **{name: installed(name) for name in packages}}  # fmt: skip
