"""The unit of work: one model and all its missing cells, in a live process that has the weights."""

from __future__ import annotations

import dataclasses
import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from amuro.core import coordinates
from amuro.core.errors import AmuroError, StoreError, WeightsError
from amuro.core.failures import reason, trace
from amuro.core.hashing import digest
from amuro.core.requests import Generation, Training
from amuro.core.types import Cell, Checkpoint, Model
from amuro.engine.base import Engine
from amuro.prompts.tokenizer import Encoder
from amuro.results.scoring import cell_value
from amuro.run import requests
from amuro.run.prefetch import read_ahead
from amuro.run.records import predictions, provenance
from amuro.run.request_cache import RequestBuilder
from amuro.series import _pretrained, load_series_kind
from amuro.series.base import tokenizer_folder, twin_error
from amuro.study import status
from amuro.study.cost import Work, read_plainly
from amuro.study.inputs import UNKNOWN, Inputs
from amuro.study.plan import SEMANTICS, Plan, candidates, engine_name
from amuro.study.store import Store, key_of
from amuro.study.twins import blocked
from amuro.tasks.metrics import load_metric

Emit = Callable[[Mapping[str, Any]], None]


@dataclass
class Cost:
    """What a model job has used so far."""

    tokens: int = 0
    flops: float = 0.0
    tuning_seconds: float = 0.0
    work: Work = field(default_factory=Work)
    """What was done, for estimates of model jobs like this one."""

    def add(self, tokens: int, flops_per_token: float) -> None:
        self.tokens += tokens
        self.flops += tokens * flops_per_token

    def did(self, **amounts: int) -> None:
        """Adds to what was done."""
        self.work = dataclasses.replace(self.work, **{k: getattr(self.work, k) + n for k, n in amounts.items()})


class Worker:
    """Fills cells of one plan into one store with one engine. Rows and base weights are kept between
    models, and all ids for each tokenizer (not for each checkpoint).
    """

    def __init__(self, plan: Plan, store: Store, engine: Engine, emit: Emit) -> None:
        self.plan, self.store, self.engine, self.emit = plan, store, engine, emit
        self._loaded: Checkpoint | None = None
        self._folder: Path | None = None
        self._tokenizer: Path | None = None
        """Where the live checkpoint's tokenizer lies, if not beside its weights."""
        self._following: Checkpoint | None = None
        self._builder = RequestBuilder(plan, store)
        self._inputs = self._builder.inputs
        self._read_encoder = lru_cache(maxsize=4)(_encoder)
        self._encoders: dict[tuple[str, int, frozenset[int]], Encoder] = {}
        self._told: set[str] = set()

    def run_model(
        self,
        model: Model,
        cells: Sequence[Cell],
        following: Checkpoint | None = None,
    ) -> None:
        """Loads, tunes where the model is tuned, fills `cells`, and leaves a cost ledger. One failed cell is
        noted and does not stop the others. Meanwhile the checkpoint that will be `following` is read ahead.
        """
        method = model.recipe.method if model.recipe else ""
        started, cost = (
            time.monotonic(),
            Cost(work=Work(model.checkpoint.parameters or 0, method, plain=read_plainly(self.plan, model))),
        )
        core_started = time.process_time()
        self.emit({"event": "model", "model": model.address})
        self._load(model.checkpoint)
        if following not in (None, self._following):
            self._following = following
            read_ahead(lambda: folder_of(self.plan, self.store, following))
        key: str | None  # none where tuning diverged
        if model.recipe is None:
            key = self._inputs.model(model.checkpoint)
        else:
            key = self._chosen(model, cost) if len(candidates(model)) > 1 else self._tuned(model, cost)
        filled = len(self._fill(cells, key, cost)) if key else 0
        study = self.plan.study
        used = {**dataclasses.asdict(cost), "seconds": time.monotonic() - started,
                "core_seconds": time.process_time() - core_started, "peak_memory_mb": peak_memory_mb()}  # fmt: skip
        where = {"engine": study.engine, "device": study.device, "precision": study.precision}
        self.store.note("ledger", {"model": model.address, "cells": filled, **where, **used})

    def _fill(self, cells: Sequence[Cell], model_key: str, cost: Cost) -> dict[Cell, str]:
        """Cell → key of its result, for those that did not fail."""
        filled = {}
        for cell in cells:
            try:
                filled[cell] = self.fill(cell, model_key, cost)
            except StoreError:
                raise  # it would be the same for every other cell
            except Exception as error:
                told = {"cell": cell.address, "error": reason(error), "trace": trace(error)}
                self.store.note("attempts", told)
                self.emit({"event": "failed", **told})
        return filled

    def fill(self, cell: Cell, model_key: str, cost: Cost) -> str:
        """Asks the live model one cell's questions and commits its predictions; returns the key of the result.

        A result that is there and whole is not made again: the dev cells of a rule are asked for by each of its jobs.
        """
        encoded = self._builder.encoded(cell, self._encoder(), self.engine.context_length())
        declared = self._inputs.declared(cell)
        decided = {"address": cell.address, "declared": declared, "ids": encoded.ids_digest, "model_key": model_key}
        key = key_of("cells", decided)
        if self.store.has("cells", key):
            self.emit({"event": "there", "cell": cell.address})
            return key
        started = time.monotonic()
        frame, tokens = self._predict(cell, encoded)
        cost.add(tokens, self.engine.flops_per_token())
        written = frame.height * self.plan.tasks[cell.eval_set.task].max_new_tokens if cell.decoding == "greedy" else 0
        cost.did(cells=1, rows=frame.height, read=tokens, written=written)
        facts = {**decided, "coordinates": coordinates.of_cell(cell), "prompts": self._keep_texts(encoded),
                 "seconds": time.monotonic() - started, "tokens": tokens,
                 "provenance": {**provenance(), **self._reading()},
                 "ceiling": [self.plan.tasks[cell.eval_set.task].metric, encoded.ceiling]}  # fmt: skip
        self.store.commit("cells", key, facts, {"predictions.parquet": frame})
        self.emit({"event": "cell", "cell": cell.address})
        return key

    def keep_texts(self, cells: Sequence[Cell]) -> None:
        """Words and encodes these cells once more and stores the texts; no model is tuned or asked."""
        for cell in cells:
            self._load(cell.model.checkpoint)
            self._keep_texts(self._builder.encoded(cell, self._encoder(), self.engine.context_length()))

    def _keep_texts(self, encoded: requests.EncodedEvalSet) -> str:
        key = digest(encoded.texts["prompt_hash"].to_list())
        self.store.commit("prompts", key, {}, {"prompts.parquet": encoded.texts})
        return key

    def _reading(self) -> dict[str, str]:
        """What is to be known of how the live model is read; nothing of a kind whose rows share passes."""
        told = "; ".join(self.engine.remarks())
        return {"reading": told} if told else {}

    def _predict(self, cell: Cell, encoded: requests.EncodedEvalSet) -> tuple[pl.DataFrame, int]:
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
                answers = self.engine.generate(request_batch, self._encoder().decode)
                generated.update(zip(rows, answers, strict=True))
                tokens += sum(answer.tokens for answer in answers)
        unconditional: list[tuple[float, ...]] = []
        if encoded.unconditional:
            unconditional = self.engine.score(encoded.unconditional_batch(cell))
            tokens += sum(sum(map(len, q.options)) for q in encoded.unconditional)
        return predictions(encoded, scored, generated, unconditional), tokens

    # -- the model

    def _load(self, checkpoint: Checkpoint) -> None:
        if self._loaded == checkpoint:
            self.engine.reset()
            return
        self._loaded = None  # until it is whole and known to be nobody's twin
        self._folder = folder_of(self.plan, self.store, checkpoint)
        self._tokenizer = tokenizer_folder(checkpoint)
        self._refuse_damaged(checkpoint)
        read = self._inputs.checkpoint(checkpoint)
        self.engine.load(checkpoint, self._folder)
        if Inputs(self.plan, self.store).checkpoint(checkpoint) != read:
            raise WeightsError(f"the files of {checkpoint.address} changed since the run began", cure="run again")
        for remark in {*self.engine.remarks(), *self._encoder().remarks} - self._told:
            self._told.add(remark)
            self.emit({"event": "remark", "job": checkpoint.address, "text": remark})
        self._refuse_twin(checkpoint)
        self._loaded = checkpoint

    def _encoder(self) -> Encoder:
        """Of the live checkpoint. Equal ones of other folders are one object, and so is all that they encoded."""
        found = self._read_encoder(self._folder, self._tokenizer)
        return self._encoders.setdefault((found.digest, found.eos, found.ends), found)

    def _refuse_damaged(self, checkpoint: Checkpoint) -> None:
        """What was pre-trained here must be what was written then."""
        made_here = load_series_kind(self.plan.study.series[checkpoint.series].kind).pretraining is not None
        if made_here and self._folder and self._folder.is_dir() and not _pretrained.is_whole(checkpoint, self._folder):
            raise WeightsError(
                f"{checkpoint.address} in {self._folder} is no longer what pre-training wrote",
                cure="amuro run sets it aside and makes it anew",
            )

    def _refuse_twin(self, checkpoint: Checkpoint) -> None:
        """Of checkpoints of a series with equal weights, all but the earliest step are blocked by name.

        What was loaded is recorded first, and looked at then: of two workers that load twins at once, one sees it.
        """
        facts = {"checkpoint": checkpoint.address, "weights": self._inputs.checkpoint(checkpoint)["weights"]}
        if facts["weights"] == UNKNOWN:
            return
        before = blocked(self.plan, self.store)
        self.store.commit("checkpoints", digest(facts), facts, {})
        found = blocked(self.plan, self.store)
        if checkpoint.address in found:
            raise twin_error(checkpoint.address, found[checkpoint.address])
        for later in found.keys() - before.keys():
            self.emit({"event": "failed", "cell": later, "error": str(twin_error(later, found[later]))})

    def _tuned(self, model: Model, cost: Cost) -> str | None:
        """Tunes the loaded checkpoint and returns the key of the live model.

        None stands for a training that diverged, now or before: that is kept as its result, under its key.
        """
        assert model.recipe is not None
        assert model.learning_rate is not None
        training_set = self._builder.training_set(model.recipe, self._encoder(), self.engine.context_length())
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

    def _tuned_key(self, model: Model, training_set: requests.TrainingSet) -> str:
        """Key of a tuned model, made of the inputs of its training."""
        assert model.recipe is not None
        return digest({
            "parent": self._inputs.model(model.checkpoint), "recipe": dataclasses.asdict(model.recipe) | {"name": ""},
            "learning_rate": model.learning_rate, "tune_seed": model.tune_seed, "semantics": SEMANTICS["tune"],
            "engine": engine_name(self.plan.study), "precision": self.plan.study.precision,
            "device": self.plan.study.device, "ids": training_set.digest,
        })  # fmt: skip

    def _has_diverged(self, key: str) -> bool:
        known = self.store.manifest("models", key)
        return known is not None and status.diverged_at(known) is not None

    def _record_training(self, model: Model, key: str, training: Training) -> None:
        told = {k: v for k, v in dataclasses.asdict(training).items() if k != "losses"}
        facts = {**self._named(model), "training": told, "weights": self.engine.weights_digest()}
        curve = pl.DataFrame({"loss": list(training.losses)}, schema={"loss": pl.Float64})
        self.store.commit("models", key, facts, {"losses.parquet": curve})
        if training.diverged_at is not None:
            self.emit({"event": "diverged", "model": model.address, "text": status.how_it_diverged(facts)})

    def _named(self, model: Model) -> dict[str, Any]:
        """What says, without weights, which training a record is of."""
        cell = self.plan.cells_by_model()[model][0]
        return {"model": model.address, "declared": status.training_inputs(cell, self._inputs.declared(cell))}

    def _chosen(self, model: Model, cost: Cost) -> str | None:
        """Tunes at each rate of the rule and makes the one live that does best on the dev split (primary metric, the
        first one on a tie). The choice is stored; returns the key of the chosen model. Rates that diverge do not
        compete; where all do, that is stored, and None returned.
        """
        scores: dict[float, float] = {}
        best: tuple[float, str, Any] | None = None
        members = candidates(model)
        for member in members:
            assert member.learning_rate is not None
            key = self._tuned(member, cost)
            if key is None:
                continue
            score = self._on_dev(member, key, cost)
            scores[member.learning_rate] = score
            if best is None or score > best[0]:
                best = score, key, self.engine.keep()
        facts = {**self._named(model), "chosen_for": model.address, "dev_scores": [[r, s] for r, s in scores.items()],
                 "learning_rate": max(scores, key=lambda rate: scores[rate], default=None),
                 "diverged": [m.learning_rate for m in members if m.learning_rate not in scores]}  # fmt: skip
        self.store.commit("models", digest(facts), facts, {})
        if best is None:
            self.emit({"event": "diverged", "model": model.address, "text": status.how_it_diverged(facts)})
            return None
        self.engine.restore(best[2])
        return best[1]

    def _on_dev(self, member: Model, model_key: str, cost: Cost) -> float:
        """The live model's mean score on its dev cells, the higher the better, by results that stand on these very
        weights. Raises AmuroError where one of them failed: no rate may win by what was not asked.
        """
        dev = [cell for cell in self.plan.cells_by_model()[member] if cell.eval_set.split == "dev"]
        filled = self._fill(dev, model_key, cost)
        scores = [self._dev_score(cell, key) for cell, key in filled.items()]
        if len(scores) < len(dev) or not all(map(math.isfinite, scores)):
            what = f"{len(dev) - len(scores)} of {len(dev)} dev cells failed" if len(scores) < len(dev) else "no score"
            raise AmuroError(f"no rate can be chosen: {what} at rate {member.learning_rate}")
        return sum(scores) / len(scores)

    def _dev_score(self, cell: Cell, key: str) -> float:
        result = self.store.manifest("cells", key)
        frame = self.store.frame(result, "predictions.parquet") if result else None
        if frame is None:
            raise AmuroError(f"the dev result of {cell.address} was damaged meanwhile", cure="run again")
        task = self.plan.tasks[cell.eval_set.task]
        return load_metric(task.metric).oriented(cell_value(task, frame))


def folder_of(plan: Plan, store: Store, checkpoint: Checkpoint) -> Path | None:
    """Where a checkpoint's weights lie; fetched by the series if need be."""
    return load_series_kind(plan.study.series[checkpoint.series].kind).locate(checkpoint, store.root / "series")


def _encoder(folder: Path | None, words: Path | None) -> Encoder:
    return Encoder.from_folder(folder, words) if folder else Encoder.of_bytes()


def peak_memory_mb() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
