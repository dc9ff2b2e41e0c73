"""Log-likelihood of answers: the prefix is read once for all queries, each context once for all its options.

A query becomes one row: its context, then the tokens of its options as branches. A mask hides the branches from each
other, and each branch counts its positions from the end of the context, so every option is read as if it stood alone.
An option's last token is never fed, so options of one token need no branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from amuro.engine.network import Network
from amuro.errors import AmuroError
from amuro.types import Ask, Query

_TOKENS = {"cpu": 1024, "cuda": 16384}
"""Fed tokens a batch, padding counted."""
_LOGITS = 1 << 24
"""Logits computed at once."""


@dataclass(frozen=True)
class _Row:
    """One query laid out. `where[k]` says which of the tail's tokens predicts `targets[k]` of option `option[k]`."""

    index: int
    ids: list[int]
    positions: list[int]
    branch: list[int]
    """0 for the context, 1, 2, … for the branches."""
    tail: int
    """First token whose logits are needed: the last of the context."""
    where: list[int]
    targets: list[int]
    option: list[int]


def score(network: Network, ask: Ask) -> list[tuple[float, ...]]:
    """Summed natural-log probability of each option of each query of `ask`, in float32 whatever the precision.

    Raises AmuroError on an empty context or option, on a row longer than the context length, and on NaN.
    """
    longest = max((_length(ask, query) for query in ask.queries), default=0)
    _check(ask, longest, network.context_length)
    with torch.no_grad(), network.autocast():
        if network.takes_own_masks(longest):
            sums = _score_branches(network, ask)
        else:
            sums = [_score_plainly(network, ask.prefix, query) for query in ask.queries]
    if any(value != value for values in sums for value in values):
        raise AmuroError(f"{ask.cell.model.address} gives NaN as a log-probability", "its weights are broken")
    return sums


def _length(ask: Ask, query: Query) -> int:
    return len(ask.prefix) + len(query.context) + max(map(len, query.options), default=0) - 1


def _check(ask: Ask, longest: int, limit: int) -> None:
    for query in ask.queries:
        if not query.context or not query.options or not all(query.options):
            raise AmuroError(
                f"query {query.example_id} of {ask.cell.eval_set} has an empty context or option",
                "give it a beginning-of-text token or words",
            )
    if longest > limit and not ask.past_window:
        raise AmuroError(
            f"a prompt of {ask.cell.eval_set} has {longest} tokens, the model reads {limit}", "ask with fewer shots"
        )


def _score_branches(network: Network, ask: Ask) -> list[tuple[float, ...]]:
    prefix = network.read_prefix(ask.prefix)
    rows = sorted((_lay_out(*item, start=len(ask.prefix)) for item in enumerate(ask.queries)), key=_size)
    sums: list[tuple[float, ...]] = [()] * len(rows)
    for batch in batches([len(row.ids) for row in rows], _TOKENS.get(network.device.type, 1024)):
        chosen = rows[batch]
        for row, values in zip(chosen, _score_rows(network, chosen, prefix, len(ask.prefix)), strict=True):
            sums[row.index] = values
    return sums


def _lay_out(index: int, query: Query, start: int) -> _Row:
    length = len(query.context)
    ids, branch = list(query.context), [0] * length
    positions = list(range(start, start + length))
    where: list[int] = []
    targets: list[int] = []
    option: list[int] = []
    for number, answer in enumerate(query.options):
        first = len(ids) - length + 1
        where += [0, *range(first, first + len(answer) - 1)]
        targets += answer
        option += [number] * len(answer)
        ids += answer[:-1]
        branch += [number + 1] * (len(answer) - 1)
        positions += range(start + length, start + length + len(answer) - 1)
    return _Row(index, ids, positions, branch, length - 1, where, targets, option)


def _size(row: _Row) -> int:
    return len(row.ids)


def batches(lengths: Sequence[int], budget: int) -> Iterator[slice]:
    """Slices of rows (rising lengths) that hold at most `budget` tokens after padding, or a single row."""
    begin = 0
    for end, length in enumerate(lengths, start=1):
        if (end - begin) * length > budget and end - 1 > begin:
            yield slice(begin, end - 1)
            begin = end - 1
    if begin < len(lengths):
        yield slice(begin, len(lengths))


def padded(network: Network, rows: Sequence[Sequence[int]], fill: int = 0) -> Tensor:
    """Ragged rows → int64 [rows, longest], filled on the right."""
    longest = max(map(len, rows))
    return network.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])


def _score_rows(
    network: Network, rows: Sequence[_Row], prefix: DynamicCache, start: int
) -> Iterator[tuple[float, ...]]:
    branch = padded(network, [row.branch for row in rows], fill=-1)
    hidden = network.hidden(
        padded(network, [row.ids for row in rows]),
        padded(network, [row.positions for row in rows]),
        _seen(branch, start),
        network.shared(prefix, len(rows), branch.shape[1]) if start else None,
    )
    tail = torch.cat([hidden[number, row.tail : len(row.ids)] for number, row in enumerate(rows)])
    offset, where = 0, []
    for row in rows:
        where += [offset + token for token in row.where]
        offset += len(row.ids) - row.tail
    values = _log_probabilities(network, tail, where, [target for row in rows for target in row.targets])
    return _summed(rows, values)


def _seen(branch: Tensor, start: int) -> Tensor:
    """Which keys each token attends to: the prefix, and the context and its own branch up to itself.

    Padding is a branch of its own on the right, so nothing real sees it.
    """
    rows, length = branch.shape
    causal = torch.ones(length, length, dtype=torch.bool, device=branch.device).tril()
    keys, queries = branch[:, None, :], branch[:, :, None]
    own = causal & ((keys == 0) | (keys == queries))
    return torch.cat([own.new_ones(rows, length, start), own], dim=-1)


def _log_probabilities(network: Network, hidden: Tensor, where: list[int], targets: list[int]) -> list[float]:
    """Natural-log probability of `targets[k]` after the token whose hidden state is `hidden[where[k]]`."""
    chosen, wanted = network.tensor(where), network.tensor(targets)
    chunk = max(1, _LOGITS // network.model.config.vocab_size)
    parts = []
    for begin in range(0, len(hidden), chunk):
        logits = network.logits(hidden[begin : begin + chunk])
        here = (chosen >= begin) & (chosen < begin + chunk)
        picked = logits[chosen[here] - begin, wanted[here]]
        parts.append((here, picked - torch.logsumexp(logits, dim=-1)[chosen[here] - begin]))
    values = torch.empty(len(where), dtype=torch.float32, device=hidden.device)
    for here, part in parts:
        values[here] = part
    return values.tolist()


def _summed(rows: Sequence[_Row], values: list[float]) -> Iterator[tuple[float, ...]]:
    """Token values in the order of the rows → a tuple of sums a row."""
    position = 0
    for row in rows:
        sums = [0.0] * (row.option[-1] + 1)
        for number, value in zip(row.option, values[position:], strict=False):
            sums[number] += value
        position += len(row.option)
        yield tuple(sums)


def _score_plainly(network: Network, prefix: tuple[int, ...], query: Query) -> tuple[float, ...]:
    """One row an option, no mask of our own: for attention that we do not know."""
    sums = []
    for option in query.options:
        ids = network.tensor([[*prefix, *query.context, *option]])
        logits = network.model(ids).logits[0, -len(option) - 1 : -1].float()
        picked = logits.log_softmax(-1).gather(1, ids[0, -len(option) :, None])
        sums.append(float(picked.double().sum()))
    return tuple(sums)
