"""Training sequences of a recipe as token ids: everything about them that does not depend on a model's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from amuro.core.hashing import digest
from amuro.core.types import Example, Recipe, Task
from amuro.prompts import cutting, render
from amuro.prompts.tokenizer import Encoder
from amuro.run.requests import Ids


@dataclass(frozen=True)
class TrainingSet:
    """The training sequences of a recipe for one tokenizer and context length."""

    sequences: list[tuple[Ids, ...]]
    """Per example, token ids of alternately prompt (masked) and answer (learned)."""
    truncated: int
    """Number of examples that were cut or left out."""

    @cached_property
    def digest(self) -> str:
        """Digest of the token ids in order, part of a tuned model's key."""
        return digest([[list(part) for part in sequence] for sequence in self.sequences])


def training_set(
    parts: Sequence[tuple[Task, Sequence[Example]]], recipe: Recipe, encoder: Encoder, context_length: int
) -> TrainingSet:
    """Returns the training sequences, cut to the recipe's length and the context in the same way as prompts.

    In the paper's encoding a sequence is first cut on the right to the recipe's length; an example without any answer
    token left is dropped.
    """
    bos_length, room = len(encoder.bos), min(recipe.max_length, context_length)
    sequences: list[tuple[Ids, ...]] = []
    truncated = 0
    for task, examples in parts:
        for sequence in training_sequences([(task, examples)], recipe, encoder):
            shortened = cutting.right(sequence, recipe.max_length) if task.encoding == "whole_text" else sequence
            cut = cutting.turns(shortened, bos_length, room) if shortened else shortened
            truncated += cut != sequence
            sequences += [cut] if cut else []
    return TrainingSet(sequences, truncated)


def training_sequences(
    parts: Sequence[tuple[Task, Sequence[Example]]], recipe: Recipe, encoder: Encoder
) -> list[tuple[Ids, ...]]:
    """Returns the token ids of every example: alternately prompt and answer with end-of-text, as in evaluation.

    A dialogue has one pair per turn; every other example has one pair.
    """
    return [
        sequence
        for task, examples in parts
        for sequence in (_joint if task.encoding == "whole_text" else _pieces)(task, examples, recipe, encoder)
    ]


def _pieces(task: Task, examples: Sequence[Example], recipe: Recipe, encoder: Encoder) -> list[tuple[Ids, ...]]:
    """Encodes prompts and answers separately, as evaluation does."""
    turns = [turn for e in examples for turn in render.turns(task, recipe.format, e)]
    pairs = iter(encoder.pairs([prompt for prompt, _ in turns], [answer for _, answer in turns]))
    return [_with_marks([next(pairs) for _ in range(len(e.earlier) + 1)], encoder) for e in examples]


def _joint(task: Task, examples: Sequence[Example], recipe: Recipe, encoder: Encoder) -> list[tuple[Ids, ...]]:
    """Encodes each turn's text as a whole and masks the tokens of its prompt, as the paper does.

    A space at the end of a prompt is not masked: in the whole text it is part of the answer's first token. The line
    feed after a role tag of a dialogue is masked.
    """
    sequences = []
    for example in examples:
        turns = render.turns(task, recipe.format, example)
        turn_ids = encoder.prompts([prompt + answer for prompt, answer in turns])
        heads = encoder.prompts([prompt.removesuffix(" ") for prompt, _ in turns])
        pairs = [(ids[: len(head)], ids[len(head) :]) for ids, head in zip(turn_ids, heads, strict=True)]
        sequences.append(_with_marks(pairs, encoder))
    return sequences


def _with_marks(pairs: Sequence[tuple[Ids, Ids]], encoder: Encoder) -> tuple[Ids, ...]:
    """Returns alternately prompt and answer; begin-of-text precedes the first prompt, end-of-text follows each
    answer.
    """
    first, *later = [part for prompt, answer in pairs for part in (prompt, (*answer, encoder.eos))]
    return ((*encoder.bos, *first), *later)
