"""Steps of training as CUDA graphs: a forward and backward pass recorded once and launched as a whole.

A step of some hundred tokens keeps a GPU busy for a fraction of the time in which Python launches its kernels one by
one. A recorded pass always has the same shape, so a step is padded up to one of few shapes: with tokens that nobody
reads, in a row of their own, whose loss weighs nothing and whose gradients are therefore zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.packed_attention import Ints, PackedRows, RowIndex, on_device, places

_TOKENS, _ANSWERS, _COLUMNS = 256, 32, 64
"""What a shape's tokens, answer tokens and columns are multiples of."""
_LARGEST = 3072
"""Tokens of a pass beyond which the GPU is busy without graphs (and the embedding's gradient is no longer recorded)."""
_AFTER = 3
"""Passes of a shape before it is worth recording."""
_MOST = 4
"""Shapes recorded: each keeps gradients of its own in memory."""


@dataclass(frozen=True)
class Pass:
    """Sequences that are read in one pass."""

    rows: Sequence[Sequence[int]]
    wanted: Sequence[Sequence[int]]
    """For each row the places whose next token is an answer's."""
    targets: Sequence[int]
    weights: NDArray[np.float32]
    """Of each target in the loss."""

    @property
    def lengths(self) -> Ints:
        """[rows]"""
        return np.array([len(row) for row in self.rows])

    @property
    def ids(self) -> Ints:
        """[tokens]: the rows end to end."""
        return np.concatenate([np.array(row) for row in self.rows])

    @property
    def positions(self) -> Ints:
        """[tokens]: each row's from 0."""
        return np.concatenate([np.arange(len(row)) for row in self.rows])

    @property
    def flat_wanted(self) -> Ints:
        """The wanted places among the flat tokens."""
        starts = np.cumsum(self.lengths) - self.lengths
        return np.concatenate([start + np.array(own) for start, own in zip(starts, self.wanted, strict=True)])


def padded(given: Pass, rows: int, longest: int) -> dict[str, NDArray[Any]]:
    """The pass as arrays of a shape that many passes share: at most `rows` rows of at most `longest` tokens."""
    lengths = given.lengths
    tokens = int(lengths.sum())
    room, answers = _up(tokens + 1, _TOKENS), _up(len(given.targets), _ANSWERS)
    gather, scatter = places(lengths, _up(longest, _COLUMNS))
    spare = np.zeros((rows + 1 - len(lengths), gather.shape[1]), dtype=np.int64)
    nowhere = rows * gather.shape[1]  # the first place of the last row, which holds no token
    return {
        "ids": _filled(given.ids, room, 0),
        "positions": _filled(given.positions, room, 0),
        "gather": np.concatenate([gather, spare]),
        "scatter": _filled(scatter, room, nowhere),
        "wanted": _filled(given.flat_wanted, answers, tokens),  # the first token of the padding
        "targets": _filled(np.array(given.targets), answers, 0),
        "weights": np.pad(given.weights, (0, answers - len(given.weights))),
    }


def backward(network: Network, given: Mapping[str, Tensor]) -> Tensor:
    """Add the gradient of a padded pass to the parameters; returns its loss."""
    packed = PackedRows(RowIndex(given["gather"], given["scatter"]))
    with network.autocast():
        hidden = network.read(given["ids"], given["positions"], packed, given["wanted"])
        nats = cross_entropy(network.logits(hidden), given["targets"], reduction="none")
    loss = (nats * given["weights"]).sum()
    torch.autograd.backward(loss)
    return loss.detach()


class Graphs:
    """Recorded passes of one course. Everything that records or replays is reached on CUDA only."""

    def __init__(
        self,
        network: Network,
        parameters: Sequence[Tensor],
        rows: int,
        longest: int,
        budget: int,
        in_place: bool = False,
    ) -> None:
        """rows, longest: the most of any step of the course. budget: tokens that one pass may have. in_place: the
        parameters' gradients have memory of their own, which passes add to; else a pass leaves gradients in memory of
        its own.
        """
        self._most = min(budget, _LARGEST) if network.device.type == "cuda" and network.reads_layouts(longest) else 0
        self._network, self._parameters, self._in_place = network, parameters, in_place
        self._rows, self._longest = rows, longest
        self._met: Counter[tuple[int, ...]] = Counter()
        self._recorded: dict[tuple[int, ...], _Recorded] = {}

    def takes(self, tokens: int) -> bool:
        """Whether a pass of so many tokens gains by it."""
        return tokens < self._most

    def backward(self, given: Pass) -> Tensor:
        """The loss of the pass, whose gradient is the parameters' now; they must have had none."""
        arrays = padded(given, self._rows, self._longest)
        shape = len(arrays["ids"]), len(arrays["targets"])
        self._met[shape] += 1
        if shape not in self._recorded and self._met[shape] > _AFTER and len(self._recorded) < _MOST:
            self._recorded[shape] = _Recorded(self._network, self._parameters, arrays, self._in_place)
        if shape in self._recorded:
            return self._recorded[shape].replay(arrays)
        return backward(self._network, {name: on_device(value, self._network.device) for name, value in arrays.items()})


class _Recorded:
    """One shape: inputs, loss and gradients stay where they are in memory."""

    def __init__(
        self, network: Network, parameters: Sequence[Tensor], arrays: Mapping[str, NDArray[Any]], in_place: bool
    ) -> None:
        self._parameters, self._in_place = parameters, in_place
        self._inputs = {name: on_device(value, network.device) for name, value in arrays.items()}
        self._graph = torch.cuda.CUDAGraph()
        self._forget()
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries set themselves up outside of the recording
            backward(network, self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._forget()
        with torch.cuda.graph(self._graph):
            self._loss = backward(network, self._inputs)
        self._gradients = [parameter.grad for parameter in parameters]

    def replay(self, arrays: Mapping[str, NDArray[Any]]) -> Tensor:
        for name, value in arrays.items():
            self._inputs[name].copy_(torch.from_numpy(value).pin_memory(), non_blocking=True)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._loss

    def _forget(self) -> None:
        for parameter in self._parameters:
            if self._in_place and parameter.grad is not None:
                parameter.grad.zero_()
            else:
                parameter.grad = None


def _filled(values: NDArray[np.int64], length: int, value: int) -> NDArray[np.int64]:
    return np.pad(values.astype(np.int64), (0, length - len(values)), constant_values=value)


def _up(number: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-number // step) * step
