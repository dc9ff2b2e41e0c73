"""Queries → batches of flat tokens: everything about scoring that does not depend on weights, so it is made once.

A request becomes one row: its context, then the tokens of its options as branches. Each branch counts its positions
from the end of the context, so every option is read as if it stood alone. An option's last token is never fed, so
options of
one token need no branch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from amuro.core.types import Request, RequestBatch
from amuro.engine.forward.packed_attention import Ints


@dataclass(frozen=True)
class Batch:
    """Rows of one forward pass. `slots[k]` says for which option of the ask `targets[k]` is scored, after the token
    `heads[where[k]]`.
    """

    ids: Ints
    positions: Ints
    branch: Ints | None
    """[tokens]: 0 for contexts, 1, 2, … for the branches of a row; None where there are none."""
    lengths: Ints
    """[rows]"""
    heads: Ints
    """Flat tokens whose logits are needed."""
    where: Ints
    targets: Ints
    slots: Ints


@dataclass(frozen=True)
class Layouts:
    """All batches of some requests. Their options are numbered through: request q's are `ends[q - 1]` to `ends[q]`."""

    batches: tuple[Batch, ...]
    ends: Ints


@dataclass(frozen=True)
class _Row:
    ids: list[int]
    positions: list[int]
    branch: list[int]
    heads: list[int]
    where: list[int]
    targets: list[int]
    option: list[int]


def layouts(request_batch: RequestBatch, budget: int) -> Layouts:
    """Batches of at most `budget` tokens, rows of like length together."""
    rows = [_row(request, len(request_batch.prefix)) for request in request_batch.requests]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
    ends = np.cumsum([len(request.options) for request in request_batch.requests])
    batches_ = tuple(
        _batch(
            [(rows[index], int(ends[index]) - len(request_batch.requests[index].options)) for index in order[chosen]]
        )
        for chosen in batches([len(rows[index].ids) for index in order], budget)
    )
    return Layouts(batches_, ends)


def batches(lengths: Sequence[int], budget: int) -> Iterator[slice]:
    """Slices of rows that hold at most `budget` tokens together, or a single row."""
    begin = tokens = 0
    for end, length in enumerate(lengths):
        if tokens + length > budget and end > begin:
            yield slice(begin, end)
            begin, tokens = end, 0
        tokens += length
    if begin < len(lengths):
        yield slice(begin, len(lengths))


def _row(request: Request, start: int) -> _Row:
    length = len(request.context)
    row = _Row([*request.context], [*range(start, start + length)], [0] * length, [length - 1], [], [], [])
    for number, answer in enumerate(request.options):
        fed, first = len(answer) - 1, len(row.heads)
        row.where.extend([0, *range(first, first + fed)])
        row.heads.extend(range(len(row.ids), len(row.ids) + fed))
        row.targets.extend(answer)
        row.option.extend([number] * len(answer))
        row.ids.extend(answer[:-1])
        row.branch.extend([number + 1] * fed)
        row.positions.extend(range(start + length, start + length + fed))
    return row


def _batch(rows: Sequence[tuple[_Row, int]]) -> Batch:
    """rows: each with the number of its first option."""
    lengths = np.array([len(row.ids) for row, _ in rows])
    heads = np.array([len(row.heads) for row, _ in rows])
    branch = _joined([row.branch for row, _ in rows])
    return Batch(
        ids=_joined([row.ids for row, _ in rows]),
        positions=_joined([row.positions for row, _ in rows]),
        branch=branch if branch.any() else None,
        lengths=lengths,
        heads=_joined([row.heads for row, _ in rows], np.cumsum(lengths) - lengths),
        where=_joined([row.where for row, _ in rows], np.cumsum(heads) - heads),
        targets=_joined([row.targets for row, _ in rows]),
        slots=_joined([row.option for row, _ in rows], np.array([first for _, first in rows])),
    )


def _joined(parts: Sequence[Sequence[int]], shifts: Ints | None = None) -> Ints:
    """End to end; each part raised by its shift."""
    found = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])
    return found if shifts is None else found + np.repeat(shifts, [len(part) for part in parts])


class BatchCache:
    """Layouts that were made before: all checkpoints of a tokenizer are asked the same."""

    def __init__(self, room: int = 64) -> None:
        self._room = room
        self._kept: OrderedDict[tuple[int, int, int], tuple[tuple[Request, ...], Layouts]] = OrderedDict()

    def layouts(self, request_batch: RequestBatch, budget: int) -> Layouts:
        """Those of `ask`. Queries are known again by being the same object, which the shelf keeps alive."""
        key = id(request_batch.requests), len(request_batch.prefix), budget
        if key not in self._kept:
            self._kept[key] = request_batch.requests, layouts(request_batch, budget)
        self._kept.move_to_end(key)
        if len(self._kept) > self._room:
            self._kept.popitem(last=False)
        return self._kept[key][1]
