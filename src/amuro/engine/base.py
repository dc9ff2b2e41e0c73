"""The interface of engines. There are two: `torch.TorchEngine` for real weights and `toy.ToyEngine` without weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from amuro.core.requests import Generation, RequestBatch, Training
from amuro.core.types import Checkpoint, Model

Sequences = Sequence[tuple[tuple[int, ...], ...]]
"""For each training example its token ids, alternately of prompts and answers; a dialogue has several pairs.

Each answer ends with end-of-text, and each example fits into the model's context length."""

OnStep = Callable[[int, int, float], None]
"""Called after each optimiser step with (steps done, total steps, loss of the step in nats per answer token)."""

Decode = Callable[[Sequence[int]], str]
"""Token ids → text, without special tokens."""


class Engine(Protocol):
    """Holds one current model: a loaded checkpoint, as it is or tuned. Errors are `amuro.core.errors.AmuroError`s."""

    def load(self, checkpoint: Checkpoint, folder: Path | None) -> None:
        """Make `checkpoint` the current model. folder: holds its weights; None for engines that need none."""

    def reset(self) -> None:
        """Set a tuned model back to the loaded checkpoint's own weights."""

    def keep(self) -> Any:
        """A copy of the current weights, for `restore` while the same checkpoint is loaded."""

    def restore(self, kept: Any) -> None:
        """Set the current weights to those that `keep` returned."""

    def tune(self, sequences: Sequences, model: Model, learning_rate: float, on_step: OnStep) -> Training:
        """Tune from the loaded checkpoint's own weights, whatever was tuned before; the result is the current model.

        Hyper-parameters are in `model.recipe`. `model.tune_seed` determines the order of the sequences and the
        initialisation of adapters. Returns the facts of the training.
        """

    def score(self, request_batch: RequestBatch) -> list[tuple[float, ...]]:
        """For each request the summed log-probability (nats) of each option, given prefix and context."""

    def generate(self, request_batch: RequestBatch, decode: Decode) -> list[Generation]:
        """Greedy continuation of each request, up to a stop string, an end id or `request_batch.max_new_tokens`."""

    def weights_digest(self) -> str:
        """Digest of the current weights, as hexadecimal text."""

    def save(self, folder: Path) -> None:
        """Write the current weights as a Hugging Face folder."""

    def flops_per_token(self) -> float:
        """Floating-point operations of one token's forward pass; a training step costs about three times that."""

    def remarks(self) -> Sequence[str]:
        """Sentences that a user should know about how the current model is run; usually none."""

    def context_length(self) -> int:
        """Maximum number of tokens of one sequence, prompt and answer together."""
