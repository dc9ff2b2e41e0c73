"""Full tuning: amuro beside transformers' Trainer, 8 examples a step, the same examples in the same order.

Both take AdamW (fused), gradients clipped at 1.0, loss on the answer only and every answer token of a step weighing
the same. Equality in float32: the loss of every step within 1e-5. In bfloat16 (autocast on both sides) amuro counts
only where its losses are no farther from float32 than Trainer's, in the largest and the RMS difference. Timed is what
lies between the end of the first step and the end of the last; loading, setting up and the first step are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import material
import peers
import table
from amuro.engine.base import Sequences
from side_by_side import Done, UnequalError, Variant, outputs_of
from table import NO_TARGETS, OURS, THEIRS, Row, Targets, Wish

NEAR = 1e-5
"""Nats a token that a loss may differ by in float32."""
RATE = 1e-4


@dataclass(frozen=True)
class Question:
    """One kind of training text on one model."""

    name: str
    model: str
    steps: int
    """A pass."""
    targets: Targets = NO_TARGETS
    check: int = 40
    """Steps whose losses are compared; `--check` may ask for fewer. Rounding grows from step to step: of M, whose
    weights are wide, to 1e-6 in 14 steps and to 1.3e-4 in 40.
    """


QUESTIONS = (
    Question("MNLI-like", "S", 8, Targets(1.7, 1.4)),
    Question("XSum-like", "S", 4, Targets(1.7, 1.4)),
    Question("MNLI-like", "M", 4, Targets(1.7, 1.4), check=14),
    Question("socialiqa_question", material.REAL, 2),
)


@dataclass(frozen=True)
class Work:
    """What both sides are given, in the order in which it is read."""

    folder: Path
    sequences: Sequences
    steps: int
    """Timed ones of all that are compared."""
    precision: str

    def first(self, steps: int) -> Sequences:
        return self.sequences[: steps * 8]


class Ours:
    """amuro's engine."""

    def __init__(self, work: Work) -> None:
        import engine_jobs

        self._work = work
        self._engine = engine_jobs.loaded(work.folder, work.precision)
        config, timed = engine_jobs.live_model(self._engine).config, work.first(work.steps + 1)[8:]
        self.flops = 3 * forward_flops(timed, config, self._engine.flops_per_token()) / work.steps

    def outputs(self) -> tuple[float, ...]:
        return tuple(self._tune(self._work.sequences).losses)

    def once(self) -> Done:
        return self._tune(self._work.first(self._work.steps + 1)).done()

    def _tune(self, sequences: Sequences) -> peers.Clock:
        clock = peers.Clock()
        model = material.tuned("benchmark", len(sequences))
        self._engine.tune(in_step_order(sequences), model, RATE, lambda _done, _all, loss: clock.tick(loss))
        return clock


class Theirs:
    """transformers' Trainer, each pass from the same weights."""

    flops = 0.0

    def __init__(self, work: Work) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        import peers

        peers.quiet()
        self._work = work
        self._model = AutoModelForCausalLM.from_pretrained(work.folder, dtype=torch.float32)
        self._start = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    def outputs(self) -> tuple[float, ...]:
        return tuple(self._tune(self._work.sequences, logging_strategy="steps").losses)

    def once(self) -> Done:
        return self._tune(self._work.first(self._work.steps + 1)).done()

    def _tune(self, sequences: Sequences, **arguments: Any) -> peers.Clock:
        self._model.load_state_dict(self._start)
        clock = peers.Clock()
        recipe = material.tuned("benchmark").recipe
        assert recipe is not None
        peers.train(self._model, sequences, recipe, RATE, self._work.precision == "bfloat16", clock, **arguments)
        return clock


def in_step_order(sequences: Sequences) -> Sequences:
    """Rearranged so that amuro, which shuffles by its seed, reads them in the order given."""
    from amuro.engine.training.finetune import step_order

    order = [
        index for step in step_order(len(sequences), 8, 1, material.tuned("benchmark").tune_seed or 0) for index in step
    ]
    placed: list[Any] = [None] * len(sequences)
    for read, index in enumerate(order):
        placed[index] = sequences[read]
    return placed


def forward_flops(sequences: Sequences, config: Any, flops_per_token: float) -> float:
    """Needed by one reading: every token but a row's last, the head where an answer token is predicted."""
    head = 2.0 * config.vocab_size * config.hidden_size
    rows = [sum(map(len, dialogue)) - 1 for dialogue in sequences]
    answers = sum(len(part) for dialogue in sequences for part in dialogue[1::2])
    keys = sum(length * (length + 1) / 2 for length in rows)
    attention = 4.0 * config.hidden_size * config.num_hidden_layers * keys
    return (flops_per_token - head) * sum(rows) + head * answers + attention


class Agreement:
    """Compares the loss curves; keeps what it saw as a note."""

    def __init__(self, reference: Sequence[float] | None) -> None:
        """reference: in bfloat16, the losses in float32."""
        self._reference, self.note = reference, ""

    def __call__(self, outputs: Mapping[str, Any]) -> None:
        ours, theirs = outputs[OURS], outputs[THEIRS]
        self.note = curves_agree(ours, theirs) if self._reference is None else self._nearer(ours, theirs)

    def _nearer(self, ours: Sequence[float], theirs: Sequence[float]) -> str:
        assert self._reference is not None
        (most, rms), (their_most, their_rms) = (distance(losses, self._reference) for losses in (ours, theirs))
        seen = f"from float32: max {most:.2g} (Trainer {their_most:.2g}), RMS {rms:.2g} (Trainer {their_rms:.2g})"
        if not (most <= their_most and rms <= their_rms):
            raise UnequalError(seen)
        return seen


def curves_agree(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """What is equal, in words. Raises UnequalError beyond NEAR."""
    most, _ = distance(ours, theirs)
    seen = f"max Δ loss {most:.1e} over {len(ours)} steps"
    if not most <= NEAR:
        raise UnequalError(seen)
    return seen


def distance(left: Sequence[float], right: Sequence[float]) -> tuple[float, float]:
    """Largest and RMS difference of two curves of equal length."""
    gaps = [a - b for a, b in zip(left, right, strict=True)]
    return max(map(abs, gaps)), math.sqrt(float(np.mean(np.square(gaps))))


def rows(wish: Wish) -> Iterator[Row]:
    """Every wanted question, measured."""
    for question in table.wanted(QUESTIONS, wish):
        work = _work(question, wish)
        exact = partial(Ours, replace(work, precision="float32"))
        agreement = Agreement(outputs_of(Variant(OURS, exact)) if wish.bf16 else None)
        yield table.measured(question, wish, "step", partial(Ours, work), partial(Theirs, work), agreement)


def _work(question: Question, wish: Wish) -> Work:
    folder = material.model_folder(question.model, wish.folder)
    real = question.model == material.REAL
    steps = question.steps + 1 if real else max(min(wish.check, question.check), question.steps + 1)
    sequences = material.real_training(8 * steps) if real else material.training(question.name, 8 * steps)
    return Work(folder, sequences, question.steps, wish.precision)


if __name__ == "__main__":
    table.run(__doc__, rows)
