"""A cell's questions as token ids: everything about them that does not depend on a model's weights."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, takewhile
from types import MappingProxyType

import polars as pl

from amuro.core.errors import DataError
from amuro.core.hashing import digest
from amuro.core.requests import Request, RequestBatch
from amuro.core.types import Cell, Example, Recipe, Task
from amuro.prompts import cutting, render
from amuro.prompts.tokenizer import Encoder

Ids = tuple[int, ...]

WORTH_SHARING = 4
"""Ids that the rows of a group must share at the least to be read once: sharing 3 of 12 costs what it spares (0.9 M
parameters on a CPU), sharing 20 of 40 spares 40 %.
"""


@dataclass(frozen=True)
class EncodedEvalSet:
    """The questions of one set × format × shots for one tokenizer and context length.

    `groups`: the number of shots that fitted, the ids that these rows begin with alike, and the numbers of the rows;
    most encoded sets have one group.
    """

    task: Task
    examples: tuple[Example, ...]
    requests: tuple[Request, ...]
    groups: tuple[tuple[int, Ids, tuple[int, ...]], ...]
    truncated: tuple[bool, ...]
    texts: pl.DataFrame
    """prompt_hash, prefix, text: one row an example."""
    ids_digest: str
    unconditional: tuple[Request, ...] = ()
    """Each row's options after a context that asks nothing, for a *choice* task that names one."""
    ends: frozenset[int] = frozenset()
    """Ids that end an answer, where answers are generated."""
    owners: tuple[int, ...] = ()
    """Where labels are scored by sub-tokens: the label that each candidate token belongs to."""
    lines: EncodedEvalSet | None = None
    """What is asked instead where each option stands behind a question of its own: one line an option."""
    rows: tuple[int, ...] = ()
    """Of each line the row that it is of."""
    ceiling: str = ""
    """Which right answers cannot get the best score, cut as outputs are; empty where all do."""

    def unconditional_batch(self, cell: Cell) -> RequestBatch:
        """The options' own likelihoods: one short context shared by all rows."""
        return RequestBatch(cell, (), self.unconditional)

    def batches(self, cell: Cell) -> list[tuple[RequestBatch, tuple[int, ...]]]:
        """(ask, the row of each of its requests) for each group. A row's options may be asked in several requests."""
        if self.lines:
            return [
                (request_batch, tuple(self.rows[line] for line in of)) for request_batch, of in self.lines.batches(cell)
            ]
        stop, limit = (self.task.stop, self.task.max_new_tokens) if self.task.kind == "generation" else ((), 0)
        return [
            (
                RequestBatch(
                    cell,
                    prefix,
                    requests,
                    stop,
                    limit,
                    tuple(self.examples[i].answer for i in rows),
                    self.ends,
                    past_window=self.task.encoding == "whole_text",
                ),
                rows,
            )
            for (_, prefix, rows), requests in zip(self.groups, self._requests_of_groups, strict=True)
        ]

    @cached_property
    def _requests_of_groups(self) -> tuple[tuple[Request, ...], ...]:
        """The same objects for every cell, by which an engine knows what it has laid out before."""
        return tuple(tuple(self.requests[i] for i in rows) for _, _, rows in self.groups)

    def k_effective(self) -> list[int]:
        """Shots that each row was really shown."""
        found = {row: k for k, _, rows in self.groups for row in rows}
        return [found[row] for row in range(len(self.examples))]


def encode(
    task: Task,
    format_name: str,
    examples: Sequence[Example],
    shots: Sequence[Example],
    encoder: Encoder,
    context_length: int,
    own_shots: Mapping[int, Sequence[Example]] = MappingProxyType({}),
) -> EncodedEvalSet:
    """Words, encodes and fits. Shots are dropped from a row until prompt and answer fit the context; where the
    bare prompt does not fit, its left end is cut and the row is marked as truncated. own_shots: row → what it is shown
    in the place of `shots`.
    """
    if task.kind == "language_modeling":
        return _documents(task, examples, encoder, context_length)
    bodies = [render.prompt(task, format_name, example) for example in examples]
    options = option_ids(task, examples, bodies, encoder)
    rooms = [context_length - len(encoder.bos) - _answer_room(task, own) for own in options]
    for example, room in zip(examples, rooms, strict=True):
        if room < 1:
            raise DataError(f"the answer of {example.id} alone fills the context", cure="use a longer context")
    shared = _heads(task, format_name, shots)
    own = {row: _heads(task, format_name, shown) for row, shown in own_shots.items()}
    heads = [own.get(row, shared) for row in range(len(bodies))]
    read = _fitted(heads, bodies, rooms, encoder)
    truncated = [len(ids) > room for (_, ids), room in zip(read, rooms, strict=True)]
    begins = len(encoder.bos)
    whole = [
        cutting.prompt((*encoder.bos, *ids), begins, begins + room) for (_, ids), room in zip(read, rooms, strict=True)
    ]
    texts = [(k, above[k], body) for (k, _), above, body in zip(read, heads, bodies, strict=True)]
    return encode_rows(task, examples, texts, whole, options, truncated, encoder, apart=own)


def encode_rows(
    task: Task,
    examples: Sequence[Example],
    texts: Sequence[tuple[int, str, str]],
    read: Sequence[Ids],
    options: Sequence[tuple[Ids, ...]],
    truncated: Sequence[bool],
    encoder: Encoder,
    owners: tuple[int, ...] = (),
    apart: Collection[int] = (),
) -> EncodedEvalSet:
    """The encoded set of rows whose ids are known: one group for each number of shots, with what its rows share parted.

    texts: of each row its shots' number and text, and its own text. read: its whole prompt. apart: rows whose shots
    differ from those of the others: they are groups of their own, so that the others still share theirs.
    """
    ends = encoder.ends if task.kind == "generation" else frozenset()
    groups = []
    contexts = dict[int, Ids]()
    kinds = [(k, i in apart) for i, (k, _, _) in enumerate(texts)]
    for kind in sorted(set(kinds)):
        shown, rows = kind[0], tuple(i for i, each in enumerate(kinds) if each == kind)
        prefix = shared_start([read[i] for i in rows])
        groups.append((shown, prefix, rows))
        contexts |= {i: read[i][len(prefix) :] for i in rows}
    requests = tuple(
        Request(example.id, contexts[i], options[i], render.gold(task, example)) for i, example in enumerate(examples)
    )
    return EncodedEvalSet(
        task,
        tuple(examples),
        requests,
        tuple(groups),
        tuple(truncated),
        text_frame([(head, body) for _, head, body in texts]),
        ids_digest([k for k, _, _ in texts], read, requests, task.unconditional, ends),
        unconditional_requests(task, requests, encoder),
        ends,
        owners,
    )


def shared_start(read: Sequence[Ids]) -> Ids:
    """The ids that all rows begin with, short of the last of any row: read once, they change no answer.

    None where they are so few that reading them again costs less than parting them.
    """
    first, last = min(read), max(read)  # whatever these two share, all that lie between them share
    room = min(map(len, read)) - 1
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(first[:room], last[:room], strict=True))
    found = tuple(token for token, _ in alike)
    return found if len(found) >= WORTH_SHARING else ()


def unconditional_requests(task: Task, requests: Sequence[Request], encoder: Encoder) -> tuple[Request, ...]:
    """The options of each request in the task's unconditional context; none where it has no such context."""
    if not task.unconditional:
        return ()
    context = (*encoder.bos, *encoder.prompts([task.unconditional])[0])
    return tuple(Request(q.example_id, context, q.options, q.gold) for q in requests)


@dataclass(frozen=True)
class TrainingSet:
    """What a recipe teaches a model that reads so many tokens."""

    sequences: list[tuple[Ids, ...]]
    truncated: int
    """Rows of which not all is learned."""

    @cached_property
    def digest(self) -> str:
        """Of the token ids in order: a part of a tuned model's key."""
        return digest([[list(part) for part in sequence] for sequence in self.sequences])


def training_set(
    parts: Sequence[tuple[Task, Sequence[Example]]], recipe: Recipe, encoder: Encoder, context_length: int
) -> TrainingSet:
    """The training sequences, cut to the recipe's length and the context as prompts are cut.

    The paper's are cut on the right to the recipe's length first, and a row of which no answer is left is not learned.
    """
    begins, room = len(encoder.bos), min(recipe.max_length, context_length)
    found: list[tuple[Ids, ...]] = []
    truncated = 0
    for task, examples in parts:
        for whole in training_sequences([(task, examples)], recipe, encoder):
            kept = cutting.right(whole, recipe.max_length) if task.encoding == "whole_text" else whole
            cut = cutting.turns(kept, begins, room) if kept else kept
            truncated += cut != whole
            found += [cut] if cut else []
    return TrainingSet(found, truncated)


def training_sequences(
    parts: Sequence[tuple[Task, Sequence[Example]]], recipe: Recipe, encoder: Encoder
) -> list[tuple[Ids, ...]]:
    """For every training example its ids, alternately prompt and answer with end-of-text, by the encoder that scores.

    A dialogue has a pair for each turn; every other example has one.
    """
    return [
        sequence
        for task, examples in parts
        for sequence in (_joint if task.encoding == "whole_text" else _pieces)(task, examples, recipe, encoder)
    ]


def _pieces(task: Task, examples: Sequence[Example], recipe: Recipe, encoder: Encoder) -> list[tuple[Ids, ...]]:
    turns = [turn for e in examples for turn in render.turns(task, recipe.format, e)]
    pairs = iter(encoder.pairs([prompt for prompt, _ in turns], [answer for _, answer in turns]))
    return [_with_marks([next(pairs) for _ in range(len(e.earlier) + 1)], encoder) for e in examples]


def _joint(task: Task, examples: Sequence[Example], recipe: Recipe, encoder: Encoder) -> list[tuple[Ids, ...]]:
    """As the paper: each turn's text is encoded whole, and the tokens of its prompt are masked.

    A space at the end of a prompt is left out of what is masked: encoded whole, it is a part of the answer's first
    token. The line feed after a role tag of a dialogue is masked.
    """
    sequences = []
    for example in examples:
        turns = render.turns(task, recipe.format, example)
        wholes = encoder.prompts([prompt + answer for prompt, answer in turns])
        heads = encoder.prompts([prompt.removesuffix(" ") for prompt, _ in turns])
        pairs = [(whole[: len(head)], whole[len(head) :]) for whole, head in zip(wholes, heads, strict=True)]
        sequences.append(_with_marks(pairs, encoder))
    return sequences


def _with_marks(pairs: Sequence[tuple[Ids, Ids]], encoder: Encoder) -> tuple[Ids, ...]:
    """Alternately prompt and answer; the first begins as the tokenizer begins a text, each answer ends the text."""
    first, *later = [part for prompt, answer in pairs for part in (prompt, (*answer, encoder.eos))]
    return ((*encoder.bos, *first), *later)


def option_ids(
    task: Task, examples: Sequence[Example], bodies: Sequence[str], encoder: Encoder
) -> list[tuple[Ids, ...]]:
    """Ids of each row's options as they stand behind its own text."""
    texts = [[render.answer(task, text) for text in render.options(task, e)] for e in examples]
    asked = [body for body, own in zip(bodies, texts, strict=True) for _ in own]
    known = iter(encoder.answers(asked, [text for own in texts for text in own]))
    return [tuple(next(known) for _ in own) for own in texts]


def _heads(task: Task, format_name: str, shots: Sequence[Example]) -> list[str]:
    """What stands before a row that is shown 0, 1, … shots."""
    pairs = [f"{text} {reply}" for text, reply in render.shots_text(task, format_name, shots)]
    return ["", *(text + task.separator for text in accumulate(pairs))]


def _fitted(
    heads: Sequence[Sequence[str]], bodies: Sequence[str], rooms: Sequence[int], encoder: Encoder
) -> list[tuple[int, Ids]]:
    """Of each row how many shots leave it room, and the ids of these shots and itself, encoded as one text.

    heads: of each row what stands before it when it is shown 0, 1, … shots.
    """
    found = dict[int, tuple[int, Ids]]()
    for k in reversed(range(max(map(len, heads), default=0))):
        left = [i for i in range(len(bodies)) if i not in found and k < len(heads[i])]
        for i, ids in zip(left, encoder.prompts([heads[i][k] + bodies[i] for i in left]), strict=True):
            if k == 0 or len(ids) <= rooms[i]:
                found[i] = k, ids
    return [found[i] for i in range(len(bodies))]


def _answer_room(task: Task, options: tuple[Ids, ...]) -> int:
    longest = max(len(option) for option in options)
    return max(longest, task.max_new_tokens) if task.kind == "generation" else longest


def _documents(task: Task, examples: Sequence[Example], encoder: Encoder, context_length: int) -> EncodedEvalSet:
    start = encoder.bos or (encoder.eos,)
    room = context_length - len(start)
    whole = encoder.prompts([example.answer for example in examples])
    requests = [Request(e.id, start, (ids[:room],), 0) for e, ids in zip(examples, whole, strict=True)]
    truncated = tuple(len(ids) > room for ids in whole)
    if any(truncated):
        raise DataError(
            f"document {next(e.id for e, cut in zip(examples, truncated, strict=True) if cut)} of {task.name} "
            f"has more than {room} tokens",
            cure="cut the documents of this task to the model's context",
        )
    groups = ((0, (), tuple(range(len(requests)))),)
    texts = text_frame([("", e.answer) for e in examples])
    read = ids_digest([0] * len(requests), [start] * len(requests), requests)
    return EncodedEvalSet(task, tuple(examples), tuple(requests), groups, truncated, texts, read)


def text_frame(texts: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """(shared prefix, own text) of each row → prompt_hash, prefix, text."""
    hashes = [hashlib.sha256(f"{prefix}{text}".encode()).hexdigest()[:16] for prefix, text in texts]
    prefixes, bodies = [prefix for prefix, _ in texts], [text for _, text in texts]
    return pl.DataFrame({"prompt_hash": hashes, "prefix": prefixes, "text": bodies})


def ids_digest(
    shots: Sequence[int],
    read: Sequence[Ids],
    requests: Sequence[Request],
    unconditional: str = "",
    ends: frozenset[int] = frozenset(),
) -> str:
    """Of every id that is read, wherever a prompt is parted, of the context in which options are scored
    unconditionally, and of the ids that end an answer. shots, read: of each row their number and its whole prompt.
    """
    rows = [
        [k, request.example_id, list(ids), [list(option) for option in request.options], request.gold]
        for k, ids, request in zip(shots, read, requests, strict=True)
    ]
    return digest([rows, unconditional, sorted(ends)])
