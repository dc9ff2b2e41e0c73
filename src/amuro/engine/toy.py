"""An engine without weights: a simulator that makes plausible scores from its parameters, for tests and dry runs.

Every random draw is a hash of the cell's coordinates and the example id, so a cell always has the same scores. Nothing
is learned: the simulator parameters determine what the findings of a toy study should be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from statistics import NormalDist

from amuro.core.errors import AmuroError
from amuro.core.requests import Generation, Request, RequestBatch, Training
from amuro.core.simulator import SimulatorParameters
from amuro.core.types import Cell, Checkpoint, Model
from amuro.engine.base import Decode, OnStep, Sequences

_NORMAL = NormalDist()


class ToyEngine:
    """An `Engine` whose scores are simulated."""

    def __init__(self, parameters: SimulatorParameters | None = None) -> None:
        """parameters: of the simulator; None: the defaults."""
        self.parameters = parameters or SimulatorParameters()
        self._model: Model | None = None

    def load(self, checkpoint: Checkpoint, folder: Path | None) -> None:
        """Make `checkpoint` the current model; `folder` is ignored."""
        self._model = Model(checkpoint)

    def reset(self) -> None:
        """Set the current model back to the base model."""
        self._model = Model(self._live().checkpoint)

    def remarks(self) -> Sequence[str]:
        """No remarks: there are no files that could differ."""
        return ()

    def keep(self) -> Model:
        """The current model's description, which stands for its weights."""
        return self._live()

    def restore(self, kept: Model) -> None:
        """Make the kept model the current one."""
        self._model = kept

    def tune(self, sequences: Sequences, model: Model, learning_rate: float, on_step: OnStep) -> Training:
        """Simulate tuning: a smooth loss curve of the recipe's length. Raises AmuroError for a wrong model."""
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
        """Simulated log-probabilities (nats); the right option is likeliest in the simulated share of the requests."""
        model = self._model_of(request_batch.cell)
        skill = shown_skill(self.parameters, model, request_batch.cell)
        return [
            self._log_probabilities(request, model, request_batch.cell, skill) for request in request_batch.requests
        ]

    def generate(self, request_batch: RequestBatch, decode: Decode) -> list[Generation]:
        """The gold text where the model knows it, else its words in wrong order or another request's gold."""
        model = self._model_of(request_batch.cell)
        skill = shown_skill(self.parameters, model, request_batch.cell)
        return [self._text(request_batch, index, model, skill) for index in range(len(request_batch.requests))]

    def weights_digest(self) -> str:
        """Digest of the model's description, which stands for its weights."""
        model = self._live()
        return blake2b(f"{model.address}|{model.learning_rate}".encode(), digest_size=32).hexdigest()

    def save(self, folder: Path) -> None:
        """Write a folder without weights; its config.json names the model."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(
            json.dumps({"model_type": "toy", "model": self._live().address}), encoding="utf-8"
        )

    def flops_per_token(self) -> float:
        """1, so that cost estimates are ordered by the number of tokens."""
        return 1.0

    def context_length(self) -> int:
        """2²⁰ tokens: more than any prompt has."""
        return 1 << 20

    def _live(self) -> Model:
        """The current model. Raises AmuroError before `load`."""
        if self._model is None:
            raise AmuroError("the toy engine holds no model", "call load first")
        return self._model

    def _model_of(self, cell: Cell) -> Model:
        """The current model. Raises AmuroError if the cell belongs to another, which a real engine cannot notice."""
        live = self._live()
        if _coordinates(cell.model) != _coordinates(live):
            raise AmuroError(
                f"the cell is one of {cell.model.address}, loaded is {live.address}", "load and tune it first"
            )
        return live

    def _log_probabilities(self, request: Request, model: Model, cell: Cell, skill: float) -> tuple[float, ...]:
        """Simulated log-probability of each option of a request in nats. skill: `shown_skill` of the cell."""
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
        """The simulated answer to request `index`. skill: `shown_skill` of the cell."""
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
    """Ability in `task` after pre-training, in 0…1, shown or hidden: a logistic curve over log10 tokens, with noise."""
    tokens = model.checkpoint.tokens if model.checkpoint.tokens is not None else model.checkpoint.step
    if tokens <= 0:
        return 0.0
    recipe = model.recipe.name if model.recipe else "none"
    noise = parameters.seed_noise * _draw("run", model.checkpoint.address, recipe, str(model.tune_seed), task)
    return 1 / (1 + math.exp(-parameters.steepness * (math.log10(tokens) - parameters.onset) - noise))


def shown_skill(parameters: SimulatorParameters, model: Model, cell: Cell) -> float:
    """Share of the requests of `cell`, in 0…1, whose answer `model` knows and shows."""
    task = cell.eval_set.task
    able = ability(parameters, model, task)
    shown = able * (parameters.shown_in or {}).get(task, parameters.shown)
    if model.recipe is not None:
        shown = _tuned(parameters, model, cell, able, shown)
    trained_format = model.recipe.format if model.recipe else "default"
    return shown if cell.format == trained_format else shown * (1 - parameters.format_effect)


def _tuned(parameters: SimulatorParameters, model: Model, cell: Cell, able: float, shown: float) -> float:
    """Shown ability after tuning, from the ability (`able`) and the base model's shown ability, all in 0…1."""
    assert model.recipe is not None
    if cell.eval_set.task not in {task for task, _ in model.recipe.mixture}:
        return shown * (1 - parameters.forgetting)
    reach = parameters.transfer if cell.eval_set.split.endswith("ood") else 1.0
    return shown + reach * parameters.gain * (able - shown)


def _coordinates(model: Model) -> tuple[object, ...]:
    """What identifies a model except its learning rate: a cell may state a rule where the model has the chosen rate."""
    return model.checkpoint, model.recipe, model.tune_seed


def _knows(parameters: SimulatorParameters, model: Model, where: tuple[str, ...], skill: float) -> bool:
    """Whether the model knows an item: its difficulty's quantile is below `skill`.

    The difficulty is standard normal; `shared_difficulty` of its variance is common to all models.
    """
    specific, shared = math.sqrt(1 - parameters.shared_difficulty), math.sqrt(parameters.shared_difficulty)
    difficulty = shared * _draw("item", *where) + specific * _draw("item", model.address, *where)
    return _NORMAL.cdf(difficulty) < skill


def _uniform(*parts: str) -> float:
    """A uniform number in (0, 1), a hash of the parts."""
    digest = blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2.0**64


def _draw(*parts: str) -> float:
    """A standard normal number, a hash of the parts."""
    return _NORMAL.inv_cdf(min(max(_uniform(*parts), 1e-12), 1 - 1e-12))
