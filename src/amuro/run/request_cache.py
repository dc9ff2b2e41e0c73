"""What models are asked and taught: rows, encoded sets and training sequences, made once a tokenizer for all
checkpoints.
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
from amuro.run import option_contexts, requests, requests_paper
from amuro.run.preflight import ceiling as ceilings
from amuro.study.inputs import Inputs
from amuro.study.plan import Plan
from amuro.study.row_counts import enough_to_learn
from amuro.study.store import Store


class RequestBuilder:
    """Of one plan. What was made is kept."""

    def __init__(self, plan: Plan, store: Store) -> None:
        """The store keeps audits of encodings."""
        self._plan, self._store = plan, store
        self.inputs = Inputs(plan, store)
        """Digests of what was read: rows stay as they were read first, and so do these."""
        self._examples = lru_cache(maxsize=None)(self._read_examples)
        self._encoded = lru_cache(maxsize=256)(self._encode)
        self._training_set = lru_cache(maxsize=16)(self._make_training_set)

    def encoded(self, cell: Cell, encoder: Encoder, room: int) -> requests.EncodedEvalSet:
        """What a cell asks in ids of `encoder`, of a model that reads `room` tokens."""
        chosen = cell.eval_set
        asked = chosen.task, chosen.split, cell.format, cell.shots, cell.shot_seed, cell.limit
        return self._encoded(*asked, encoder, room)

    def training_set(self, recipe: Recipe, encoder: Encoder, room: int) -> requests.TrainingSet:
        """What a recipe teaches a model that reads `room` tokens. Raises DataError where rows are too few."""
        return self._training_set(recipe, encoder, room)

    def _read_examples(self, task_name: str, split: str, limit: int | None) -> tuple[Example, ...]:
        task, before = self._plan.task_with_source(task_name), self.inputs.rows(task_name, split)
        found = tuple(sources.examples(task, split, self._plan.revision(task_name), limit=limit))
        if Inputs(self._plan, self._store).rows(task_name, split) != before:
            raise DataError(f"the rows of {task_name}/{split} changed since the run began", cure="run again")
        return found

    def _encode(self, task_name: str, split: str, format_name: str, shots: int, shot_seed: int, limit: int,
                    encoder: Encoder, room: int) -> requests.EncodedEvalSet:  # fmt: skip
        task = self._plan.tasks[task_name]
        pool = self._examples(task_name, "train", None) if shots and task.shots_from != "evaluation" else ()
        examples = self._examples(task_name, split, limit)
        self._audit_encoding(task, format_name, examples, encoder)
        if self._plan.study.protocol == "paper":
            return requests_paper.encode(task, format_name, examples, pool, shots, encoder, room)
        drawn = render.draw_shots(task, pool, shots, shot_seed)
        own = render.own_shots(task, pool, drawn, shot_seed, examples)
        made = option_contexts.encode if any(example.contexts for example in examples) else requests.encode
        encoded = made(task, format_name, examples, drawn, encoder, room, own)
        best = ceilings.ceiling(task, format_name, examples, None if self._plan.study.engine == "toy" else encoder)
        ceilings.refuse(EvalSet(task_name, split), best)
        return replace(encoded, ceiling=str(best) if best.short else "")

    def _audit_encoding(self, task: Task, format_name: str, examples: Sequence[Example], encoder: Encoder) -> None:
        """Counts, once a tokenizer × task × format, where encoding prompt and answer apart differs from joint."""
        facts = {"audit": "encoding", "tokenizer": encoder.digest, "task": task.name, "format": format_name}
        apart = task.kind != "language_modeling" and task.encoding == "prompt_then_answer"
        if not apart or self._store.manifest("audits", digest(facts)):
            return
        asked = [render.prompt(task, format_name, example) for example in examples]
        answered = [render.answer(task, example.answer) for example in examples]
        counts = {"pairs": len(asked), "disagreements": encoder.disagreements(asked, answered)}
        self._store.commit("audits", digest(facts), {**facts, **counts}, {})

    def _make_training_set(self, recipe: Recipe, encoder: Encoder, room: int) -> requests.TrainingSet:
        pools = {name: self._examples(name, "train", None) for name, _ in recipe.mixture}
        wanted = enough_to_learn(recipe, {name: len(pool) for name, pool in pools.items()})
        drawn = [(self._plan.tasks[name], training_rows(pool, wanted[name], recipe)) for name, pool in pools.items()]
        return requests.training_set(drawn, recipe, encoder, room)


def training_rows(pool: Sequence[Example], wanted: int, recipe: Recipe) -> list[Example]:
    """The training rows of a recipe. The paper's are the first of `datasets`' shuffle, which numpy repeats exactly."""
    if recipe.protocol == "paper":
        return [pool[i] for i in np.random.default_rng(recipe.row_seed).permutation(len(pool))[:wanted]]
    return Random(recipe.row_seed).sample(pool, wanted)
