"""An engine without weights: simulator parameters in, plausible scores out. It walks a whole study in a second.

Every draw is a hash of coordinates and example id, so the same cell always says the same. Nothing is learned: what
the findings over a toy study should be is set by the simulator parameters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from statistics import NormalDist

from amuro.core.errors import AmuroError
from amuro.core.simulator import SimulatorParameters
from amuro.core.types import Cell, Checkpoint, Generation, Model, Request, RequestBatch, Training
from amuro.engine.base import Decode, OnStep, Sequences

_NORMAL = NormalDist()


class ToyEngine:
    """An `Engine` that hashes instead of computing."""

    def __init__(self, parameters: SimulatorParameters | None = None) -> None:
        self.parameters = parameters or SimulatorParameters()
        self._model: Model | None = None

    def load(self, checkpoint: Checkpoint, folder: Path | None) -> None:
        """Make `checkpoint` the live model; `folder` is not read."""
        self._model = Model(checkpoint)

    def reset(self) -> None:
        """Back to the base."""
        self._model = Model(self._live().checkpoint)

    def remarks(self) -> Sequence[str]:
        """None: nothing is read."""
        return ()

    def keep(self) -> Model:
        """What would decide the weights."""
        return self._live()

    def restore(self, kept: Model) -> None:
        """Make what was kept live again."""
        self._model = kept

    def tune(self, sequences: Sequences, model: Model, learning_rate: float, on_step: OnStep) -> Training:
        """Pretend to tune: a smooth loss curve of the length that the recipe asks for."""
        if model.recipe is None:
            raise AmuroError(f"{model.address} has no recipe", "only a model with a recipe can be tuned")
        if model.checkpoint != self._live().checkpoint:
            raise AmuroError(f"{model.address} does not start at {self._live().address}", "load its checkpoint first")
        self._model = model
        steps = model.recipe.epochs * math.ceil(len(sequences) / model.recipe.batch_size)
        floor = 2.0 - 1.5 * ability(self.parameters, model, model.recipe.tuned_on)
        losses = tuple(floor + 3.0 * math.exp(-4 * step / steps) for step in range(steps))
        for step, loss in enumerate(losses, start=1):
            on_step(step, steps, loss)
        answer_tokens = sum(len(answer) for sequence in sequences for answer in sequence[1::2]) * model.recipe.epochs
        tokens = sum(len(part) for sequence in sequences for part in sequence) * model.recipe.epochs
        return Training(losses, steps, tokens, answer_tokens, seconds=0.0)

    def score(self, request_batch: RequestBatch) -> list[tuple[float, ...]]:
        """Log probabilities: the right option wins in a share of the requests that the simulator parameters decide."""
        model = self._asked(request_batch.cell)
        skill = shown_skill(self.parameters, model, request_batch.cell)
        return [
            self._log_probabilities(request, model, request_batch.cell, skill) for request in request_batch.requests
        ]

    def generate(self, request_batch: RequestBatch, decode: Decode) -> list[Generation]:
        """The gold text where the toy knows it, else its words in wrong order or another request's gold."""
        model = self._asked(request_batch.cell)
        skill = shown_skill(self.parameters, model, request_batch.cell)
        return [self._text(request_batch, index, model, skill) for index in range(len(request_batch.requests))]

    def weights_digest(self) -> str:
        """Digest of what would decide the weights."""
        model = self._live()
        return blake2b(f"{model.address}|{model.learning_rate}".encode(), digest_size=32).hexdigest()

    def save(self, folder: Path) -> None:
        """Write the folder with a config that says whose weights are missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(
            json.dumps({"model_type": "toy", "model": self._live().address}), encoding="utf-8"
        )

    def flops_per_token(self) -> float:
        """Nothing is multiplied; 1, so that estimates stay ordered by tokens."""
        return 1.0

    def context_length(self) -> int:
        """Long enough for any prompt of the tests."""
        return 1 << 20

    def _live(self) -> Model:
        if self._model is None:
            raise AmuroError("the toy engine holds no model", "call load first")
        return self._model

    def _asked(self, cell: Cell) -> Model:
        """The live model. The toy is told whose cell it fills, so it can refuse what a real engine never notices."""
        live = self._live()
        if _coordinates(cell.model) != _coordinates(live):
            raise AmuroError(f"the cell asks {cell.model.address}, live is {live.address}", "load and tune it first")
        return live

    def _log_probabilities(self, request: Request, model: Model, cell: Cell, skill: float) -> tuple[float, ...]:
        where = (str(cell.eval_set), request.example_id)
        if len(request.options) == 1:
            nats = 6.0 - 4.0 * skill + 0.3 * _draw("text", *where)
            if request.gold < 0 and _knows(self.parameters, model, where, skill):  # a wrong option, asked by itself
                nats += 1.0
            return (-nats * len(request.options[0]),)
        bias = self.parameters.label_bias if model.recipe is None else 0.0
        known = _knows(self.parameters, model, where, skill)
        scores = [_draw(model.address, cell.format, *where, str(index)) for index in range(len(request.options))]
        scores[0] += bias
        if known:
            scores[request.gold] = max(scores) + abs(_draw("margin", *where)) + 0.1
        total = math.log(sum(map(math.exp, scores)))
        return tuple(
            score - total - 0.5 * (len(option) - 1) - 2.0 * (1 - skill)
            for score, option in zip(scores, request.options, strict=True)
        )

    def _text(self, request_batch: RequestBatch, index: int, model: Model, skill: float) -> Generation:
        where = (str(request_batch.cell.eval_set), request_batch.requests[index].example_id)
        gold = request_batch.golds[index].split()
        if _knows(self.parameters, model, where, skill):
            words = gold
        elif _uniform(model.address, *where) < 0.5:
            words = gold[len(gold) // 2 :] + gold[: len(gold) // 2]
        else:
            words = request_batch.golds[(index + 1) % len(request_batch.golds)].split()
        stopped = model.recipe is not None or _uniform("stop", model.address, *where) < 0.2 + 0.6 * skill
        if not stopped:
            words = (words + gold * request_batch.max_new_tokens)[: request_batch.max_new_tokens]
        words = words[: request_batch.max_new_tokens]
        return Generation(" ".join(words), stopped, len(words))


def ability(parameters: SimulatorParameters, model: Model, task: str) -> float:
    """What pre-training built for `task`, shown or not: a logistic curve over log10 tokens with the run's noise."""
    tokens = model.checkpoint.tokens if model.checkpoint.tokens is not None else model.checkpoint.step
    if tokens <= 0:
        return 0.0
    recipe = model.recipe.name if model.recipe else "none"
    noise = parameters.seed_noise * _draw("run", model.checkpoint.address, recipe, str(model.tune_seed), task)
    return 1 / (1 + math.exp(-parameters.steepness * (math.log10(tokens) - parameters.onset) - noise))


def shown_skill(parameters: SimulatorParameters, model: Model, cell: Cell) -> float:
    """The share of the requests of `cell` that `model` answers by knowing, in 0…1."""
    task = cell.eval_set.task
    able = ability(parameters, model, task)
    shown = able * (parameters.shown_in or {}).get(task, parameters.shown)
    if model.recipe is not None:
        shown = _tuned(parameters, model, cell, able, shown)
    trained_format = model.recipe.format if model.recipe else "default"
    return shown if cell.format == trained_format else shown * (1 - parameters.format_effect)


def _tuned(parameters: SimulatorParameters, model: Model, cell: Cell, able: float, shown: float) -> float:
    assert model.recipe is not None
    if cell.eval_set.task not in {task for task, _ in model.recipe.mixture}:
        return shown * (1 - parameters.forgetting)
    reach = parameters.transfer if cell.eval_set.split.endswith("ood") else 1.0
    return shown + reach * parameters.gain * (able - shown)


def _coordinates(model: Model) -> tuple[object, ...]:
    """The rate is left out: a cell may still name the rule where the live model has the rate that it chose."""
    return model.checkpoint, model.recipe, model.tune_seed


def _knows(parameters: SimulatorParameters, model: Model, where: tuple[str, ...], skill: float) -> bool:
    """Whether the item is easier than the skill; difficulty is partly the item's own, partly of this model."""
    own, shared = math.sqrt(1 - parameters.shared_difficulty), math.sqrt(parameters.shared_difficulty)
    difficulty = shared * _draw("item", *where) + own * _draw("item", model.address, *where)
    return _NORMAL.cdf(difficulty) < skill


def _uniform(*parts: str) -> float:
    """A number in (0, 1) that depends on nothing but the parts."""
    digest = blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2.0**64


def _draw(*parts: str) -> float:
    """A standard normal number that depends on nothing but the parts."""
    return _NORMAL.inv_cdf(min(max(_uniform(*parts), 1e-12), 1 - 1e-12))
