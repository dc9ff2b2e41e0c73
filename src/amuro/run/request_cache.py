"""Caches what models are evaluated and trained on: rows, encoded sets and training sequences, once per tokenizer for
all checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random

import numpy as np

from amuro.core.errors import DataError
from amuro.core.hashing import digest
from amuro.core.types import Cell, EvalSet, Example, Recipe, Task
from amuro.data import sources
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.run import option_contexts, requests, requests_paper, training_sets
from amuro.run.preflight import ceiling as ceilings
from amuro.study.inputs import Inputs
from amuro.study.plan import Plan
from amuro.study.row_counts import enough_to_learn
from amuro.study.store import Store


class RequestBuilder:
    """Makes and caches the encoded sets and training sets of one plan."""

    def __init__(self, plan: Plan, store: Store) -> None:
        """Audits of encodings are committed to `store`."""
        self._plan, self._store = plan, store
        self.inputs = Inputs(plan, store)
        """Digests of the files as they were read first; the cached rows belong to them."""
        self._examples = lru_cache(maxsize=None)(self._read_examples)
        self._encoded = lru_cache(maxsize=256)(self._encode)
        self._training_set = lru_cache(maxsize=16)(self._make_training_set)

    def encoded(self, cell: Cell, encoder: Encoder, room: int) -> requests.EncodedEvalSet:
        """Returns the encoded set of a cell for `encoder`, fitted to a context of `room` tokens."""
        chosen = cell.eval_set
        coordinates = chosen.task, chosen.split, cell.format, cell.shots, cell.shot_seed, cell.limit
        return self._encoded(*coordinates, encoder, room)

    def training_set(self, recipe: Recipe, encoder: Encoder, room: int) -> training_sets.TrainingSet:
        """Returns the training set of a recipe for a context of `room` tokens. Raises DataError for too few rows."""
        return self._training_set(recipe, encoder, room)

    def _read_examples(self, task_name: str, split: str, limit: int | None) -> tuple[Example, ...]:
        """Reads the first `limit` rows of a split. Raises DataError if the file changed since the run began."""
        task, before = self._plan.task_with_source(task_name), self.inputs.rows(task_name, split)
        examples = tuple(sources.examples(task, split, self._plan.revision(task_name), limit=limit))
        if Inputs(self._plan, self._store).rows(task_name, split) != before:
            raise DataError(f"the rows of {task_name}/{split} changed since the run began", cure="run again")
        return examples

    def _encode(self, task_name: str, split: str, format_name: str, shots: int, shot_seed: int, limit: int,
                    encoder: Encoder, room: int) -> requests.EncodedEvalSet:  # fmt: skip
        """Encodes one set; see `encoded`. Raises DataError if most gold answers cannot be scored (`ceiling`)."""
        task = self._plan.tasks[task_name]
        pool = self._examples(task_name, "train", None) if shots and task.shots_from != "evaluation" else ()
        examples = self._examples(task_name, split, limit)
        self._audit_encoding(task, format_name, examples, encoder)
        if self._plan.study.protocol == "paper":
            return requests_paper.encode(task, format_name, examples, pool, shots, encoder, room)
        drawn = render.draw_shots(task, pool, shots, shot_seed)
        own_shots = render.own_shots(task, pool, drawn, shot_seed, examples)
        encode = option_contexts.encode if any(example.contexts for example in examples) else requests.encode
        encoded = encode(task, format_name, examples, drawn, encoder, room, own_shots)
        best = ceilings.ceiling(task, format_name, examples, None if self._plan.study.engine == "toy" else encoder)
        ceilings.refuse(EvalSet(task_name, split), best)
        return replace(encoded, ceiling=str(best) if best.short else "")

    def _audit_encoding(self, task: Task, format_name: str, examples: Sequence[Example], encoder: Encoder) -> None:
        """Commits, once per tokenizer × task × format, how often separate and joint encoding of prompt and answer
        differ.
        """
        facts = {"audit": "encoding", "tokenizer": encoder.digest, "task": task.name, "format": format_name}
        apart = task.kind != "language_modeling" and task.encoding == "prompt_then_answer"
        if not apart or self._store.manifest("audits", digest(facts)):
            return
        prompts = [render.prompt(task, format_name, example) for example in examples]
        answers = [render.answer(task, example.answer) for example in examples]
        counts = {"pairs": len(prompts), "disagreements": encoder.disagreements(prompts, answers)}
        self._store.commit("audits", digest(facts), {**facts, **counts}, {})

    def _make_training_set(self, recipe: Recipe, encoder: Encoder, room: int) -> training_sets.TrainingSet:
        """Samples and encodes the rows of a recipe."""
        pools = {name: self._examples(name, "train", None) for name, _ in recipe.mixture}
        wanted = enough_to_learn(recipe, {name: len(pool) for name, pool in pools.items()})
        drawn = [(self._plan.tasks[name], training_rows(pool, wanted[name], recipe)) for name, pool in pools.items()]
        return training_sets.training_set(drawn, recipe, encoder, room)


def training_rows(pool: Sequence[Example], wanted: int, recipe: Recipe) -> list[Example]:
    """Returns the training rows of a recipe, sampled by `row_seed`.

    The paper's rows are the first of the shuffle of Hugging Face `datasets`, which this numpy generator reproduces
    exactly.
    """
    if recipe.protocol == "paper":
        return [pool[i] for i in np.random.default_rng(recipe.row_seed).permutation(len(pool))[:wanted]]
    return Random(recipe.row_seed).sample(pool, wanted)
