"""Does a model job: one model and all its missing cells, in a process that keeps the weights."""

from __future__ import annotations

import dataclasses
import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from amuro.core import coordinates
from amuro.core.errors import AmuroError, StoreError
from amuro.core.failures import reason, trace
from amuro.core.hashing import digest
from amuro.core.requests import Generation, Training
from amuro.core.types import Cell, Checkpoint, Model
from amuro.engine.base import Engine
from amuro.results.scoring import cell_value
from amuro.run.checkpoint_loader import CheckpointLoader
from amuro.run.records import predictions, provenance
from amuro.run.request_cache import RequestBuilder
from amuro.run.requests import EncodedEvalSet
from amuro.run.training_sets import TrainingSet
from amuro.study import status
from amuro.study.cost import Work, read_plainly
from amuro.study.grid import candidates
from amuro.study.plan import SEMANTICS, Plan, engine_name
from amuro.study.result_keys import key_of
from amuro.study.store import Store
from amuro.tasks.metrics import load_metric

Emit = Callable[[Mapping[str, Any]], None]


@dataclass
class Cost:
    """What a model job has used so far."""

    tokens: int = 0
    """Tokens of prompts, options, generation and training."""
    flops: float = 0.0
    tuning_seconds: float = 0.0
    work: Work = field(default_factory=Work)
    """Amounts by kind, from which later model jobs of this kind are estimated."""

    def add(self, tokens: int, flops_per_token: float) -> None:
        """Adds tokens at a number of FLOPs per token."""
        self.tokens += tokens
        self.flops += tokens * flops_per_token

    def did(self, **amounts: int) -> None:
        """Adds to the amounts of `work`, by field."""
        self.work = dataclasses.replace(self.work, **{k: getattr(self.work, k) + n for k, n in amounts.items()})


class Worker:
    """Fills cells of one plan into one store with one engine.

    Rows and base weights are kept between models, encoded sets once per tokenizer (not per checkpoint).
    """

    def __init__(self, plan: Plan, store: Store, engine: Engine, emit: Emit) -> None:
        """`emit` is called with each event."""
        self.plan, self.store, self.engine, self.emit = plan, store, engine, emit
        self._builder = RequestBuilder(plan, store)
        self._inputs = self._builder.inputs
        # `emit` is looked up at each event: a later job of this process sets another one.
        self._checkpoint = CheckpointLoader(plan, store, engine, self._inputs, lambda event: self.emit(event))

    def run_model(
        self,
        model: Model,
        cells: Sequence[Cell],
        following: Checkpoint | None = None,
    ) -> None:
        """Loads a checkpoint, tunes it if `model` is tuned, fills `cells` and notes a cost ledger.

        A cell that fails is noted and does not stop the others. Meanwhile the files of the checkpoint `following` are
        read ahead.
        """
        method = model.recipe.method if model.recipe else ""
        started, cost = (
            time.monotonic(),
            Cost(work=Work(model.checkpoint.parameters or 0, method, plain=read_plainly(self.plan, model))),
        )
        core_started = time.process_time()
        self.emit({"event": "model", "model": model.address})
        self._checkpoint.load(model.checkpoint)
        self._checkpoint.read_ahead(following)
        key: str | None  # None: the training diverged
        if model.recipe is None:
            key = self._inputs.model(model.checkpoint)
        else:
            key = self._tune_and_choose_rate(model, cost) if len(candidates(model)) > 1 else self._tuned(model, cost)
        filled = len(self._fill(cells, key, cost)) if key else 0
        study = self.plan.study
        used = {**dataclasses.asdict(cost), "seconds": time.monotonic() - started,
                "core_seconds": time.process_time() - core_started, "peak_memory_mb": peak_memory_mb()}  # fmt: skip
        where = {"engine": study.engine, "device": study.device, "precision": study.precision}
        self.store.note("ledger", {"model": model.address, "cells": filled, **where, **used})

    def _fill(self, cells: Sequence[Cell], model_key: str, cost: Cost) -> dict[Cell, str]:
        """Fills cells; returns cell → key of its result for those that did not fail."""
        filled = {}
        for cell in cells:
            try:
                filled[cell] = self.fill(cell, model_key, cost)
            except StoreError:
                raise  # every other cell would fail for the same reason
            except Exception as error:
                failure = {"cell": cell.address, "error": reason(error), "trace": trace(error)}
                self.store.note("attempts", failure)
                self.emit({"event": "failed", **failure})
        return filled

    def fill(self, cell: Cell, model_key: str, cost: Cost) -> str:
        """Evaluates the loaded model on one cell and commits its predictions; returns the key of the result.

        A result that exists undamaged is kept: the dev cells of a choice are filled by each of its model jobs.
        """
        encoded = self._builder.encoded(cell, self._checkpoint.encoder(), self.engine.context_length())
        declared = self._inputs.declared(cell)
        key_facts = {"address": cell.address, "declared": declared, "ids": encoded.ids_digest, "model_key": model_key}
        key = key_of("cells", key_facts)
        if self.store.has("cells", key):
            self.emit({"event": "there", "cell": cell.address})
            return key
        started = time.monotonic()
        frame, tokens = self._predict(cell, encoded)
        cost.add(tokens, self.engine.flops_per_token())
        written = frame.height * self.plan.tasks[cell.eval_set.task].max_new_tokens if cell.decoding == "greedy" else 0
        cost.did(cells=1, rows=frame.height, read=tokens, written=written)
        facts = {**key_facts, "coordinates": coordinates.of_cell(cell), "prompts": self._keep_texts(encoded),
                 "seconds": time.monotonic() - started, "tokens": tokens,
                 "provenance": {**provenance(), **self._reading()},
                 "ceiling": [self.plan.tasks[cell.eval_set.task].metric, encoded.ceiling]}  # fmt: skip
        self.store.commit("cells", key, facts, {"predictions.parquet": frame})
        self.emit({"event": "cell", "cell": cell.address})
        return key

    def keep_texts(self, cells: Sequence[Cell]) -> None:
        """Stores the prompts of these cells again; no model is tuned or evaluated."""
        for cell in cells:
            self._checkpoint.load(cell.model.checkpoint)
            self._keep_texts(self._builder.encoded(cell, self._checkpoint.encoder(), self.engine.context_length()))

    def _keep_texts(self, encoded: EncodedEvalSet) -> str:
        """Commits the prompts of an encoded set; returns the key of that result."""
        key = digest(encoded.texts["prompt_hash"].to_list())
        self.store.commit("prompts", key, {}, {"prompts.parquet": encoded.texts})
        return key

    def _reading(self) -> dict[str, str]:
        """Returns the engine's remarks on how the model is evaluated, for the provenance of a cell."""
        remarks = "; ".join(self.engine.remarks())
        return {"reading": remarks} if remarks else {}

    def _predict(self, cell: Cell, encoded: EncodedEvalSet) -> tuple[pl.DataFrame, int]:
        """Returns the predictions of a cell, one row per example, and the tokens that were processed."""
        scored: dict[int, tuple[float, ...]] = {}
        generated: dict[int, Generation] = {}
        tokens = 0
        for request_batch, rows in encoded.batches(cell):
            tokens += len(request_batch.prefix) + sum(
                len(q.context) + sum(map(len, q.options)) for q in request_batch.requests
            )
            for row, scores in zip(rows, self.engine.score(request_batch), strict=True):
                scored[row] = (*scored.get(row, ()), *scores)
            if cell.decoding == "greedy":
                answers = self.engine.generate(request_batch, self._checkpoint.encoder().decode)
                generated.update(zip(rows, answers, strict=True))
                tokens += sum(answer.tokens for answer in answers)
        unconditional: list[tuple[float, ...]] = []
        if encoded.unconditional:
            unconditional = self.engine.score(encoded.unconditional_batch(cell))
            tokens += sum(sum(map(len, q.options)) for q in encoded.unconditional)
        return predictions(encoded, scored, generated, unconditional), tokens

    def _tuned(self, model: Model, cost: Cost) -> str | None:
        """Tunes the loaded checkpoint; returns the key of the tuned model, which stays loaded.

        Returns None if the training diverges or diverged before: that result is stored under the same key.
        """
        assert model.recipe is not None
        assert model.learning_rate is not None
        training_set = self._builder.training_set(
            model.recipe, self._checkpoint.encoder(), self.engine.context_length()
        )
        key = self._tuned_key(model, training_set)
        if self._has_diverged(key):
            return None

        def on_step(done: int, total: int, loss: float) -> None:
            self.emit({"event": "step", "model": model.address, "done": done, "total": total, "loss": loss})

        training = self.engine.tune(training_set.sequences, model, model.learning_rate, on_step)
        cost.add(training.tokens, 3 * self.engine.flops_per_token())
        cost.tuning_seconds += training.seconds
        cost.did(learned=training.tokens, steps=training.steps)
        self._record_training(model, key, dataclasses.replace(training, truncated=training_set.truncated))
        return None if self._has_diverged(key) else key

    def _tuned_key(self, model: Model, training_set: TrainingSet) -> str:
        """Returns the key of a tuned model, a digest of the inputs of its training."""
        assert model.recipe is not None
        return digest({
            "parent": self._inputs.model(model.checkpoint), "recipe": dataclasses.asdict(model.recipe) | {"name": ""},
            "learning_rate": model.learning_rate, "tune_seed": model.tune_seed, "semantics": SEMANTICS["tune"],
            "engine": engine_name(self.plan.study), "precision": self.plan.study.precision,
            "device": self.plan.study.device, "ids": training_set.digest,
        })  # fmt: skip

    def _has_diverged(self, key: str) -> bool:
        """Whether the store records that this training diverged."""
        known = self.store.manifest("models", key)
        return known is not None and status.diverged_at(known) is not None

    def _record_training(self, model: Model, key: str, training: Training) -> None:
        """Commits the record and the loss curve of a training."""
        training_facts = {k: v for k, v in dataclasses.asdict(training).items() if k != "losses"}
        facts = {**self._named(model), "training": training_facts, "weights": self.engine.weights_digest()}
        curve = pl.DataFrame({"loss": list(training.losses)}, schema={"loss": pl.Float64})
        self.store.commit("models", key, facts, {"losses.parquet": curve})
        if training.diverged_at is not None:
            self.emit({"event": "diverged", "model": model.address, "text": status.how_it_diverged(facts)})

    def _named(self, model: Model) -> dict[str, Any]:
        """Returns the facts that identify a training without its weights: the model and its declared inputs."""
        cell = self.plan.cells_by_model()[model][0]
        return {"model": model.address, "declared": status.training_inputs(cell, self._inputs.declared(cell))}

    def _tune_and_choose_rate(self, model: Model, cost: Cost) -> str | None:
        """Tunes at each candidate rate and restores the model that scores best on dev; returns its key.

        The score is the primary metric, the first rate wins a tie. The choice is stored. Rates that diverge do not
        compete; if all do, that is stored and None is returned.
        """
        scores: dict[float, float] = {}
        best: tuple[float, str, Any] | None = None
        candidate_models = candidates(model)
        for candidate in candidate_models:
            assert candidate.learning_rate is not None
            key = self._tuned(candidate, cost)
            if key is None:
                continue
            score = self._on_dev(candidate, key, cost)
            scores[candidate.learning_rate] = score
            if best is None or score > best[0]:
                best = score, key, self.engine.keep()
        facts = {**self._named(model), "chosen_for": model.address, "dev_scores": [[r, s] for r, s in scores.items()],
                 "learning_rate": max(scores, key=lambda rate: scores[rate], default=None),
                 "diverged": [m.learning_rate for m in candidate_models if m.learning_rate not in scores]}  # fmt: skip
        self.store.commit("models", digest(facts), facts, {})
        if best is None:
            self.emit({"event": "diverged", "model": model.address, "text": status.how_it_diverged(facts)})
            return None
        self.engine.restore(best[2])
        return best[1]

    def _on_dev(self, candidate: Model, model_key: str, cost: Cost) -> float:
        """Returns the loaded model's mean score on its dev cells, higher is better, from results of exactly these
        weights.

        Raises AmuroError if a dev cell failed: a rate must not win by cells that were not evaluated.
        """
        dev = [cell for cell in self.plan.cells_by_model()[candidate] if cell.eval_set.split == "dev"]
        filled = self._fill(dev, model_key, cost)
        scores = [self._dev_score(cell, key) for cell, key in filled.items()]
        if len(scores) < len(dev) or not all(map(math.isfinite, scores)):
            what = f"{len(dev) - len(scores)} of {len(dev)} dev cells failed" if len(scores) < len(dev) else "no score"
            raise AmuroError(f"no rate can be chosen: {what} at rate {candidate.learning_rate}")
        return sum(scores) / len(scores)

    def _dev_score(self, cell: Cell, key: str) -> float:
        """Returns the oriented metric of one dev result. Raises AmuroError if that was damaged meanwhile."""
        result = self.store.manifest("cells", key)
        frame = self.store.frame(result, "predictions.parquet") if result else None
        if frame is None:
            raise AmuroError(f"the dev result of {cell.address} was damaged meanwhile", cure="run again")
        task = self.plan.tasks[cell.eval_set.task]
        return load_metric(task.metric).oriented(cell_value(task, frame))


def peak_memory_mb() -> float:
    """Returns the peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
