"""The configuration of a pre-training run: everything that decides its weights, and what follows by arithmetic.

Its two kinds are the embedded world (`series/_pretrain_world.py`) and text from files (`series/_pretrain_text.py`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from amuro.core.errors import StudyError, nearest
from amuro.core.hashing import digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TABLE_KEYS = ("kind", "allow_duplicates", "allow_known_bad")
"""Keys that the table of any series may have."""
MOST_WEIGHTS, MOST_TOKENS = 1e10, 1e12
"""Largest pre-training that amuro accepts: a thousand times what one machine can do."""
MAY_BE_ZERO = ("_seed", "_steps")
"""Endings of the names of whole numbers that may be 0."""


class Corpus(Protocol):
    """Documents for pre-training."""

    @property
    def phases(self) -> tuple[int, ...]:
        """Steps at which another stream begins."""

    def sample(self) -> Iterable[str]:
        """Returns the documents from which the vocabulary is learned."""

    def stream(self, step: int, tokenizer: Tokenizer) -> Callable[[int], str]:
        """Returns a function from number (0, 1, … without end) to document, for the stream after `step` steps."""


@dataclass(frozen=True, slots=True)
class Pretraining(ABC):
    """The configuration of a series that amuro pre-trains. The defaults are those of the embedded demo."""

    KIND: ClassVar[str]
    """Name of the series kind, for messages."""
    UNDECLARED: ClassVar[frozenset[str]] = frozenset({"steps"})
    """Fields that do not change the weights of a step: which steps are kept, where a file is."""

    pretrain_seed: int = 0
    """Seed of the initial weights and of the order of documents."""
    steps: tuple[int, ...] = (0, 400, 550, 800, 1150, 1600)
    """Steps of the checkpoints, rising. Step 0, the untrained model, is a control of every finding."""
    vocab_size: int = 1280
    """Entries of the byte-level BPE that is learned from the corpus."""
    vocabulary_documents: int = 4000
    """First documents of the corpus, from which the vocabulary is learned."""
    hidden_size: int = 128
    """Width of the hidden states; a multiple of twice the number of heads."""
    layers: int = 4
    """Number of decoder layers."""
    heads: int = 4
    """Attention heads of a layer."""
    intermediate_size: int = 320
    """Width of the feed-forward block of a layer."""
    max_length: int = 512
    """Context length in tokens: the longest prompt with its shots."""
    rope_theta: float = 5e5
    """Base of the rotary position embedding."""
    rows: int = 8
    """Rows per step. More rows learn less from the same number of tokens."""
    row_length: int = 128
    """Tokens per row. Whole documents are packed into rows; they attend to themselves only."""
    muon_rate: float = 0.02
    """Learning rate of the hidden matrices, which Muon trains."""
    adam_rate: float = 0.01
    """Learning rate of embeddings and norms, which Adam trains."""
    warmup_steps: int = 30
    """Steps over which the rates rise. Afterwards they are constant, so that checkpoints are comparable."""
    max_grad_norm: float = 1.0
    """Gradients with a larger norm are clipped to it."""
    anneal_steps: int = 0
    """If above 0, each checkpoint but step 0 is a branch in which the rates fall linearly to 0 over this many further
    steps. The trunk continues without the branches, so the checkpoints are those of the constant rate, annealed.
    """

    def __post_init__(self) -> None:
        steps = self.steps if isinstance(self.steps, list | tuple) else (self.steps,)
        object.__setattr__(self, "steps", tuple(steps))
        self._check_numbers()
        self._check_size()
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 0:
            raise StudyError(
                f"steps of a {self.KIND} series are {list(self.steps)}", "give rising whole numbers from 0"
            )
        if self.hidden_size % (2 * self.heads):
            raise StudyError(
                f"hidden_size {self.hidden_size} cannot be parted among {self.heads} heads of even size",
                f"give a multiple of {2 * self.heads}",
            )

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Makes a configuration from a study's table. Raises StudyError on an unknown key or a bad value."""
        known = {field.name for field in fields(cls)}
        for key in options:
            if key not in known:
                raise StudyError(f"unknown key '{key}' for a {cls.KIND} series", nearest(key, {*known, *TABLE_KEYS}))
        return cls(**options)

    @abstractmethod
    def corpus(self) -> Corpus:
        """Returns the documents of this run. Raises DataError if they cannot be read or are not the declared ones."""

    @property
    def last_step(self) -> int:
        """The last step."""
        return self.steps[-1]

    def digest(self) -> str:
        """Returns the digest (64 hexadecimal digits) of everything that decides the weights of a step."""
        return digest(self._declared())

    def schedule_at(self, step: int) -> str:
        """Returns the state of the learning-rate schedule at a step: one of `series.base.SCHEDULES`."""
        if step == 0:
            return "initial"
        if self.anneal_steps:
            return "annealed"
        return "warmup" if step < self.warmup_steps else "constant"

    def tokens_at(self, step: int) -> int:
        """Returns the token positions processed up to a step. About 97 % are tokens; the rest is padding without
        loss.
        """
        return (step + (self.anneal_steps if step else 0)) * self.rows * self.row_length

    @abstractmethod
    def unique_tokens_at(self, step: int) -> int | None:
        """Returns how many of `tokens_at` are seen for the first time; None if that cannot be known beforehand."""

    def parameters(self) -> int:
        """Returns the number of parameters; the shared embedding counts once."""
        width, inner = self.hidden_size, self.intermediate_size
        layer = 4 * width * width + 3 * width * inner + 4 * width
        return self.vocab_size * width + self.layers * layer + width

    def flops_at(self, step: int) -> float:
        """Returns the training FLOPs up to `step`: 6 per parameter and token, plus 12 · layers · row_length · width
        per token for attention.
        """
        per_token = 6 * self.parameters() + 12 * self.layers * self.row_length * self.hidden_size
        return float(per_token) * self.tokens_at(step)

    @property
    def flops(self) -> float:
        """Training FLOPs of the whole run: up to the last step, and of every branch before it."""
        branches = sum(step > 0 for step in self.steps[:-1])
        return self.flops_at(self.last_step) + branches * self.flops_at(1) * self.anneal_steps / (1 + self.anneal_steps)

    def _declared(self) -> dict[str, Any]:
        """Returns the fields that decide the weights, as plain data."""
        declared = {name: value for name, value in asdict(self).items() if name not in self.UNDECLARED}
        if not self.anneal_steps:  # keeps the digests of series made before this field existed
            del declared["anneal_steps"]
        return declared

    def _check_numbers(self) -> None:
        """Checks type and range of every field. Raises StudyError."""
        for step in self.steps:
            self._check_kind("steps", step, int)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "float":
                self._check_kind(field.name, value, float)
            elif field.type == "int":
                self._check_kind(field.name, value, int)
            elif field.type == "str" and not isinstance(value, str):
                raise StudyError(f"{field.name} of a {self.KIND} series is {value!r}", "give text")
            if field.type in ("int", "float"):
                self._check_least(field.name, value)

    def _check_size(self) -> None:
        """Raises StudyError if the run is larger than amuro accepts."""
        for what, number, most in (
            ("weights", self.parameters(), MOST_WEIGHTS),
            ("tokens", self.tokens_at(max(self.steps, default=0)), MOST_TOKENS),
        ):
            if number > most:
                raise StudyError(f"this {self.KIND} series would have {number:.2g} {what}", f"stay below {most:.0e}")

    def _check_kind(self, name: str, value: Any, kind: type[int] | type[float]) -> None:
        """Raises StudyError if a value is not a finite number of this type."""
        if isinstance(value, bool) or not isinstance(value, int | kind) or not math.isfinite(value):
            raise StudyError(f"{name} of a {self.KIND} series is {value!r}", f"give a {kind.__name__}")

    def _check_least(self, name: str, value: float) -> None:
        """Raises StudyError if a number is too small."""
        whole = isinstance(value, int)
        least = 1 if whole and not name.endswith(MAY_BE_ZERO) else 0
        if value < least or (value == 0 and not name.endswith(MAY_BE_ZERO)):
            raise StudyError(f"{name} of a {self.KIND} series is {value}", f"give at least {least or 'more than 0'}")
