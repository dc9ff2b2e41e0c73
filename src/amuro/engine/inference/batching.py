"""Requests → batches of flat tokens: the part of scoring that depends on no weights, so it is computed only once.

A request becomes one row: its context, then the tokens of its options as branches. Positions in each branch continue
from the end of the context, and branches do not attend to each other, so every option is scored as if it were alone.
An option's last token is never an input, so options of one token need no branch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from amuro.core.requests import Request, RequestBatch
from amuro.engine.forward.packed_attention import Ints


@dataclass(frozen=True)
class Batch:
    """Rows of one forward pass, and the tokens to score.

    Target k is the token `targets[k]`. Its logits are those after the flat token `heads[where[k]]`, and its
    log-probability is added to option `slots[k]`.
    """

    ids: Ints
    """[tokens]: token ids of all rows, end to end."""
    positions: Ints
    """[tokens]: position index of each token, counted from the start of the shared prefix."""
    branch: Ints | None
    """[tokens]: 0 for contexts, 1, 2, … for the branches of a row; None where there are none."""
    lengths: Ints
    """[rows]: tokens of each row."""
    heads: Ints
    """[heads]: indices of the flat tokens whose logits are needed."""
    where: Ints
    """[targets]: index into `heads`."""
    targets: Ints
    """[targets]: token ids."""
    slots: Ints
    """[targets]: option number among all options of the request batch."""


@dataclass(frozen=True)
class PackedBatches:
    """All batches of one `RequestBatch`."""

    batches: tuple[Batch, ...]
    ends: Ints
    """[requests]: options are numbered consecutively; those of request q are `ends[q - 1]` to `ends[q] - 1`."""


@dataclass(frozen=True)
class _Row:
    """One request as lists of numbers; fields as in `Batch`, `heads` and `where` relative to this row."""

    ids: list[int]
    positions: list[int]
    branch: list[int]
    heads: list[int]
    where: list[int]
    targets: list[int]
    option: list[int]
    """[targets]: option number within the request."""


def packed_batches(request_batch: RequestBatch, budget: int) -> PackedBatches:
    """The requests as batches of at most `budget` tokens; rows are sorted by length, so padding is small."""
    rows = [_row(request, len(request_batch.prefix)) for request in request_batch.requests]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
    ends = np.cumsum([len(request.options) for request in request_batch.requests])
    batches_ = tuple(
        _batch(
            [(rows[index], int(ends[index]) - len(request_batch.requests[index].options)) for index in order[chosen]]
        )
        for chosen in batches([len(rows[index].ids) for index in order], budget)
    )
    return PackedBatches(batches_, ends)


def batches(lengths: Sequence[int], budget: int) -> Iterator[slice]:
    """Consecutive slices of rows with at most `budget` tokens together; a longer row gets a slice of its own."""
    begin = tokens = 0
    for end, length in enumerate(lengths):
        if tokens + length > budget and end > begin:
            yield slice(begin, end)
            begin, tokens = end, 0
        tokens += length
    if begin < len(lengths):
        yield slice(begin, len(lengths))


def _row(request: Request, start: int) -> _Row:
    """The row of a request. start: position of its first token, which is the length of the shared prefix."""
    length = len(request.context)
    row = _Row([*request.context], [*range(start, start + length)], [0] * length, [length - 1], [], [], [])
    for number, answer in enumerate(request.options):
        inputs, first = len(answer) - 1, len(row.heads)
        row.where.extend([0, *range(first, first + inputs)])
        row.heads.extend(range(len(row.ids), len(row.ids) + inputs))
        row.targets.extend(answer)
        row.option.extend([number] * len(answer))
        row.ids.extend(answer[:-1])
        row.branch.extend([number + 1] * inputs)
        row.positions.extend(range(start + length, start + length + inputs))
    return row


def _batch(rows: Sequence[tuple[_Row, int]]) -> Batch:
    """One batch of those rows; rows: (row, number of its first option among all options)."""
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
    """The parts concatenated; `shifts[i]` is added to every number of part i."""
    numbers = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])
    return numbers if shifts is None else numbers + np.repeat(shifts, [len(part) for part in parts])


class BatchCache:
    """Least-recently-used cache of `PackedBatches`: all checkpoints with one tokenizer get the same requests."""

    def __init__(self, capacity: int = 64) -> None:
        """capacity: number of request batches that are kept."""
        self._capacity = capacity
        self._kept: OrderedDict[tuple[int, int, int], tuple[tuple[Request, ...], PackedBatches]] = OrderedDict()

    def packed_batches(self, request_batch: RequestBatch, budget: int) -> PackedBatches:
        """`packed_batches` of the request batch, computed at the first call.

        Requests are recognised by object identity; the cache holds a reference, so an id is never reused meanwhile.
        """
        key = id(request_batch.requests), len(request_batch.prefix), budget
        if key not in self._kept:
            self._kept[key] = request_batch.requests, packed_batches(request_batch, budget)
        self._kept.move_to_end(key)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return self._kept[key][1]
