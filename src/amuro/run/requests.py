"""The prompts of a cell as token ids: everything about them that does not depend on a model's weights."""

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
from amuro.core.types import Cell, Example, Task
from amuro.prompts import cutting, render
from amuro.prompts.tokenizer import Encoder

Ids = tuple[int, ...]
"""Token ids."""

WORTH_SHARING = 4
"""Fewest token ids that the rows of a group must share for the shared prefix to be processed once. Measured with 0.9
M parameters on a CPU: sharing 3 of 12 ids costs what it saves, sharing 20 of 40 saves 40 %.
"""


@dataclass(frozen=True)
class EncodedEvalSet:
    """The requests of one set × format × shots for one tokenizer and context length."""

    task: Task
    examples: tuple[Example, ...]
    requests: tuple[Request, ...]
    """One per example."""
    groups: tuple[tuple[int, Ids, tuple[int, ...]], ...]
    """(number of shots that fit, ids of the shared prefix, row numbers) of each group; usually there is one."""
    truncated: tuple[bool, ...]
    """Whether each row's prompt was cut."""
    texts: pl.DataFrame
    """Columns prompt_hash, prefix, text; one row per example."""
    ids_digest: str
    """See `ids_digest`."""
    unconditional: tuple[Request, ...] = ()
    """Each row's options after the task's unconditional context; empty if the task has none."""
    ends: frozenset[int] = frozenset()
    """Ids that end a generation; empty if nothing is generated."""
    owners: tuple[int, ...] = ()
    """For labels scored by sub-tokens: the label index of each candidate token; else empty."""
    lines: EncodedEvalSet | None = None
    """The set to evaluate instead if each option has its own context: one line per option."""
    rows: tuple[int, ...] = ()
    """Row number of each line of `lines`."""
    ceiling: str = ""
    """Sentence about gold answers that cannot get the best score once cut like outputs; '' if all can."""

    def unconditional_batch(self, cell: Cell) -> RequestBatch:
        """Returns the batch of unconditional likelihoods: one short context shared by all rows."""
        return RequestBatch(cell, (), self.unconditional)

    def batches(self, cell: Cell) -> list[tuple[RequestBatch, tuple[int, ...]]]:
        """Returns (batch, row of each of its requests) per group. The options of a row may be in several requests."""
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
        """The requests of each group. The same objects for every cell: engines cache their layout by identity."""
        return tuple(tuple(self.requests[i] for i in rows) for _, _, rows in self.groups)

    def k_effective(self) -> list[int]:
        """Returns the number of shots in each row's prompt."""
        shots = {row: k for k, _, rows in self.groups for row in rows}
        return [shots[row] for row in range(len(self.examples))]


def encode(
    task: Task,
    format_name: str,
    examples: Sequence[Example],
    shots: Sequence[Example],
    encoder: Encoder,
    context_length: int,
    own_shots: Mapping[int, Sequence[Example]] = MappingProxyType({}),
) -> EncodedEvalSet:
    """Renders and encodes the prompts of a set and fits them into the context.

    Shots are dropped from a row until prompt and answer fit; if the prompt without shots does not fit, its left end
    is cut and the row is marked as truncated. `own_shots`: row → its shots in place of `shots`. Raises DataError if
    an answer alone fills the context.
    """
    if task.kind == "language_modeling":
        return _documents(task, examples, encoder, context_length)
    bodies = [render.prompt(task, format_name, example) for example in examples]
    options = option_ids(task, examples, bodies, encoder)
    rooms = [context_length - len(encoder.bos) - _answer_room(task, row_options) for row_options in options]
    for example, room in zip(examples, rooms, strict=True):
        if room < 1:
            raise DataError(f"the answer of {example.id} alone fills the context", cure="use a longer context")
    shared = _heads(task, format_name, shots)
    own_heads = {row: _heads(task, format_name, shown) for row, shown in own_shots.items()}
    heads = [own_heads.get(row, shared) for row in range(len(bodies))]
    fitted = _fitted(heads, bodies, rooms, encoder)
    truncated = [len(ids) > room for (_, ids), room in zip(fitted, rooms, strict=True)]
    bos_length = len(encoder.bos)
    prompts = [
        cutting.prompt((*encoder.bos, *ids), bos_length, bos_length + room)
        for (_, ids), room in zip(fitted, rooms, strict=True)
    ]
    texts = [(k, above[k], body) for (k, _), above, body in zip(fitted, heads, bodies, strict=True)]
    return encode_rows(task, examples, texts, prompts, options, truncated, encoder, apart=own_heads)


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
    """Returns the encoded set of rows whose token ids are known, with one group per number of shots.

    `texts`: number of shots, text of the shots and own text of each row. `read`: the ids of each row's whole prompt.
    `apart`: rows whose shots differ from those of the others; they form separate groups, so that the others still
    share a prefix.
    """
    ends = encoder.ends if task.kind == "generation" else frozenset()
    groups = []
    contexts = dict[int, Ids]()
    kinds = [(k, i in apart) for i, (k, _, _) in enumerate(texts)]
    for kind in sorted(set(kinds)):
        shown, rows = kind[0], tuple(i for i, other in enumerate(kinds) if other == kind)
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
    """Returns the ids that all prompts begin with, at most all but the last id of each.

    Returns () if they are fewer than `WORTH_SHARING`. Processing them once changes no score.
    """
    first, last = min(read), max(read)  # all prompts between these two in sorted order share what they share
    room = min(map(len, read)) - 1
    common = takewhile(lambda pair: pair[0] == pair[1], zip(first[:room], last[:room], strict=True))
    ids = tuple(token for token, _ in common)
    return ids if len(ids) >= WORTH_SHARING else ()


def unconditional_requests(task: Task, requests: Sequence[Request], encoder: Encoder) -> tuple[Request, ...]:
    """Returns each request's options after the task's unconditional context; () if the task has none."""
    if not task.unconditional:
        return ()
    context = (*encoder.bos, *encoder.prompts([task.unconditional])[0])
    return tuple(Request(q.example_id, context, q.options, q.gold) for q in requests)


def option_ids(
    task: Task, examples: Sequence[Example], bodies: Sequence[str], encoder: Encoder
) -> list[tuple[Ids, ...]]:
    """Returns the ids of each row's options, encoded as continuations of the row's own prompt."""
    texts = [[render.answer(task, text) for text in render.options(task, e)] for e in examples]
    contexts = [body for body, option_texts in zip(bodies, texts, strict=True) for _ in option_texts]
    ids = iter(encoder.answers(contexts, [text for option_texts in texts for text in option_texts]))
    return [tuple(next(ids) for _ in option_texts) for option_texts in texts]


def _heads(task: Task, format_name: str, shots: Sequence[Example]) -> list[str]:
    """Returns the text before a row for 0, 1, … shots."""
    pairs = [f"{text} {reply}" for text, reply in render.shots_text(task, format_name, shots)]
    return ["", *(text + task.separator for text in accumulate(pairs))]


def _fitted(
    heads: Sequence[Sequence[str]], bodies: Sequence[str], rooms: Sequence[int], encoder: Encoder
) -> list[tuple[int, Ids]]:
    """Returns, per row, the largest number of shots that fits and the ids of shots and row, encoded as one text.

    `heads`: per row the text before it for 0, 1, … shots. `rooms`: per row the most ids. With 0 shots the ids may be
    longer.
    """
    fitted = dict[int, tuple[int, Ids]]()
    for k in reversed(range(max(map(len, heads), default=0))):
        left = [i for i in range(len(bodies)) if i not in fitted and k < len(heads[i])]
        for i, ids in zip(left, encoder.prompts([heads[i][k] + bodies[i] for i in left]), strict=True):
            if k == 0 or len(ids) <= rooms[i]:
                fitted[i] = k, ids
    return [fitted[i] for i in range(len(bodies))]


def _answer_room(task: Task, options: tuple[Ids, ...]) -> int:
    """Returns the ids to keep free for an answer."""
    longest = max(len(option) for option in options)
    return max(longest, task.max_new_tokens) if task.kind == "generation" else longest


def _documents(task: Task, examples: Sequence[Example], encoder: Encoder, context_length: int) -> EncodedEvalSet:
    """Returns the encoded set of a language modelling task. Raises DataError if a document exceeds the context."""
    start = encoder.bos or (encoder.eos,)
    room = context_length - len(start)
    document_ids = encoder.prompts([example.answer for example in examples])
    requests = [Request(e.id, start, (ids[:room],), 0) for e, ids in zip(examples, document_ids, strict=True)]
    truncated = tuple(len(ids) > room for ids in document_ids)
    if any(truncated):
        raise DataError(
            f"document {next(e.id for e, cut in zip(examples, truncated, strict=True) if cut)} of {task.name} "
            f"has more than {room} tokens",
            cure="cut the documents of this task to the model's context",
        )
    groups = ((0, (), tuple(range(len(requests)))),)
    texts = text_frame([("", e.answer) for e in examples])
    digest_of_ids = ids_digest([0] * len(requests), [start] * len(requests), requests)
    return EncodedEvalSet(task, tuple(examples), tuple(requests), groups, truncated, texts, digest_of_ids)


def text_frame(texts: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """Returns a table prompt_hash, prefix, text from (shared prefix, own text) per row."""
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
    """Returns a digest of all ids that a model processes, independent of how prompts are grouped, and of the
    unconditional context and the end ids.

    `shots`, `read`: number of shots and whole prompt of each row.
    """
    rows = [
        [k, request.example_id, list(ids), [list(option) for option in request.options], request.gold]
        for k, ids, request in zip(shots, read, requests, strict=True)
    ]
    return digest([rows, unconditional, sorted(ends)])
