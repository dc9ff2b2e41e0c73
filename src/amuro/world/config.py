"""The declaration of one pre-training run: all that decides its weights, and what follows from it by arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from amuro.errors import StudyError, nearest
from amuro.identity import digest

SEMANTICS = 1
"""Raised when the same configuration leads to other weights (documents, packing, optimiser, …)."""


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """How a checkpoint series of the embedded world is made. The defaults are the demo's recipe."""

    world_seed: int = 0
    """Names, facts and kinds; also the tasks' rows."""
    pretrain_seed: int = 0
    """Initial weights and the stream of documents."""
    steps: tuple[int, ...] = (0, 400, 550, 800, 1150, 1600)
    """Checkpoints, rising: step 0, the untrained model, is a control of every finding; the others are log-spaced and
    lie beyond the copy phase, whose lists are another kind of text."""
    vocab_size: int = 1280
    """Entries of the byte-level BPE: nearly every word of the world is one token."""
    vocabulary_documents: int = 4000
    """First documents of the corpus, from which the vocabulary is learned."""
    hidden_size: int = 128
    layers: int = 4
    heads: int = 4
    intermediate_size: int = 320
    max_length: int = 512
    """Longest prompt with its shots; documents are shorter."""
    rope_theta: float = 5e5
    rows: int = 8
    """Rows a step. More rows learn less from the same tokens."""
    row_length: int = 128
    """Tokens a row. Whole documents are packed into rows; they attend to themselves only."""
    copy_steps: int = 300
    """Steps at the start that read lists which come again: comparing words grows from them."""
    muon_rate: float = 0.02
    """Of the hidden matrices."""
    adam_rate: float = 0.01
    """Of embeddings and norms."""
    warmup_steps: int = 30
    """Afterwards the rates are constant: every checkpoint is of the same schedule state."""
    max_grad_norm: float = 1.0
    anneal_steps: int = 0
    """Above 0, each checkpoint but step 0 is a branch: from it the rates fall linearly to nothing over so many further
    steps. The trunk goes on as if there were no branch, so the checkpoints are those of the constant rate, annealed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        self._check_numbers()
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 0:
            raise StudyError(f"steps of a world series are {list(self.steps)}", "give rising whole numbers from 0")
        if self.hidden_size % (2 * self.heads):
            raise StudyError(
                f"hidden_size {self.hidden_size} cannot be parted among {self.heads} heads of even size",
                f"give a multiple of {2 * self.heads}",
            )

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> PretrainConfig:
        """From a study's table. Raises StudyError on an unknown key or on a value of the wrong kind."""
        known = {field.name for field in fields(cls)}
        for key in options:
            if key not in known:
                raise StudyError(f"unknown key '{key}' for a world series", nearest(key, known))
        return cls(**options)

    @property
    def last_step(self) -> int:
        return self.steps[-1]

    def digest(self) -> str:
        """64 hexadecimal digits of all that decides the weights after a step; which steps are kept decides nothing."""
        declared = {name: value for name, value in asdict(self).items() if name != "steps"}
        if not self.anneal_steps:  # a series without branches is the same whether or not this can be said of it
            del declared["anneal_steps"]
        return digest({"semantics": SEMANTICS, **declared})

    def schedule_at(self, step: int) -> str:
        if step == 0:
            return "initial"
        if self.anneal_steps:
            return "annealed"
        return "warmup" if step < self.warmup_steps else "constant"

    def tokens_at(self, step: int) -> int:
        """Places read after `step` steps. Rows are filled to about 97 %; the rest is padding without loss."""
        return (step + (self.anneal_steps if step else 0)) * self.rows * self.row_length

    def unique_tokens_at(self, step: int) -> int:
        """The same number: no document is read twice."""
        return self.tokens_at(step)

    def parameters(self) -> int:
        """Weights of the model, the shared embedding counted once."""
        width, inner = self.hidden_size, self.intermediate_size
        layer = 4 * width * width + 3 * width * inner + 4 * width
        return self.vocab_size * width + self.layers * layer + width

    def flops_at(self, step: int) -> float:
        """Operations of training up to `step`: 6 a weight and token, and 12 · layers · length · width for attention."""
        per_token = 6 * self.parameters() + 12 * self.layers * self.row_length * self.hidden_size
        return float(per_token) * self.tokens_at(step)

    def _check_numbers(self) -> None:
        least = {"world_seed": 0, "pretrain_seed": 0, "copy_steps": 0, "warmup_steps": 0, "anneal_steps": 0}
        for field in fields(self):
            value = getattr(self, field.name)
            kind = float if field.type == "float" else int
            for number in value if field.name == "steps" else (value,):
                if isinstance(number, bool) or not isinstance(number, int | kind):
                    raise StudyError(f"{field.name} of a world series is {number!r}", f"give a {kind.__name__}")
            floor = least.get(field.name, 0 if kind is float else 1)
            if field.name != "steps" and (value < floor or (kind is float and value == 0)):
                raise StudyError(
                    f"{field.name} of a world series is {value}", f"give at least {floor or 'more than 0'}"
                )
