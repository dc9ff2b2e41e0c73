"""What an engine can do. Two exist: `torch.TorchEngine` on real weights and `toy.ToyEngine` without any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from amuro.core.types import Checkpoint, Generation, Model, RequestBatch, Training

Sequences = Sequence[tuple[tuple[int, ...], ...]]
"""For each training example its ids, alternately prompt and answer with end-of-text; a dialogue has several pairs.

Each fits what the model reads at once."""

OnStep = Callable[[int, int, float], None]
"""Called after each optimiser step with (steps done, steps in all, loss of the step in nats a token)."""

Decode = Callable[[Sequence[int]], str]
"""Token ids → text, special tokens left out."""


class Engine(Protocol):
    """One live model at a time: a loaded checkpoint, as it is or tuned. Errors are `amuro.core.errors.AmuroError`s."""

    def load(self, checkpoint: Checkpoint, folder: Path | None) -> None:
        """Make `checkpoint` the live model. `folder` holds its weights; None where there are none."""

    def reset(self) -> None:
        """Go back from a tuned model to the loaded checkpoint's own weights."""

    def keep(self) -> Any:
        """A copy of the live weights, for `restore` on the same loaded checkpoint."""

    def restore(self, kept: Any) -> None:
        """Make kept weights live again."""

    def tune(self, sequences: Sequences, model: Model, learning_rate: float, on_step: OnStep) -> Training:
        """Tune from the loaded checkpoint's own weights, whatever was tuned before; the result becomes live.

        Hyper-parameters stand in `model.recipe`; `model.tune_seed` gives the order and the start of what is new.
        """

    def score(self, request_batch: RequestBatch) -> list[tuple[float, ...]]:
        """Summed natural-log probability of each option of each request, given prefix and context."""

    def generate(self, request_batch: RequestBatch, decode: Decode) -> list[Generation]:
        """Greedy continuation of each request up to a stop string, an id of `ask.ends` or `ask.max_new_tokens`."""

    def weights_digest(self) -> str:
        """Digest of the live tensors."""

    def save(self, folder: Path) -> None:
        """Write the live weights as an ordinary Hugging Face folder."""

    def flops_per_token(self) -> float:
        """Floating-point operations of one token's forward pass; a training step costs about three times that."""

    def remarks(self) -> Sequence[str]:
        """What a user should know of the way in which the live model is read; usually nothing."""

    def context_length(self) -> int:
        """How many tokens the model can read at once."""
