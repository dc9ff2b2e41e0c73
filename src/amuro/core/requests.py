"""What an engine is given and what it returns: requests, generations, and facts of a training run."""

from __future__ import annotations

from dataclasses import dataclass

from amuro.core.types import Cell


@dataclass(frozen=True, slots=True)
class Request:
    """One example for an engine, as token ids."""

    example_id: str
    context: tuple[int, ...]
    """Ids of the prompt after the shared prefix; never empty."""
    options: tuple[tuple[int, ...], ...] = ()
    """Ids of each candidate answer (classification, multiple_choice), or of the whole document (language_modeling)."""
    gold: int = -1
    """Index of the right option; used by the toy engine only."""


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """All requests of one cell, with the common prefix of their prompts."""

    cell: Cell
    prefix: tuple[int, ...]
    """Ids that all prompts begin with (beginning-of-text, shots, instruction)."""
    requests: tuple[Request, ...]
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 0
    golds: tuple[str, ...] = ()
    """Gold answers as text, one per request; used by the toy engine only."""
    ends: frozenset[int] = frozenset()
    """Ids that end a generation, as the checkpoint's files state them (`core.tokenizer_files`)."""
    past_window: bool = False
    """Whether prompts may exceed the model's context length, as in the paper (P4)."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The generated answer to one request."""

    text: str
    """Up to the stop string, which is left out."""
    stopped: bool
    """Whether it ended by a stop string or end-of-text, before the limit of tokens."""
    tokens: int
    """Generated tokens, end-of-text included."""


@dataclass(frozen=True, slots=True)
class Training:
    """Facts of a tuning run besides its weights."""

    losses: tuple[float, ...]
    """Loss of each optimiser step in nats per answer token."""
    steps: int
    """Optimiser steps taken."""
    tokens: int
    """Training tokens, without padding."""
    answer_tokens: int
    """Training tokens with loss."""
    seconds: float
    """Wall time."""
    truncated: int = 0
    """Training examples that were truncated to the recipe's max_length or the context length."""
    diverged_at: int | None = None
    """First step whose loss or gradient was not finite; the step was not applied and training stopped."""
