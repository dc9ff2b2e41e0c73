"""Training passes as CUDA graphs: a forward and backward pass is recorded once and replayed as a whole.

The kernels of a step of some hundred tokens take a fraction of the time in which Python launches them one by one.
A recorded graph has a fixed shape, so a pass is padded to one of few shapes. Padding tokens are a separate row that no
token attends to; the weight of their loss is 0, so they contribute no gradient.
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
"""The padded numbers of tokens, answer tokens and columns are multiples of these."""
_LARGEST = 3072
"""Largest pass in tokens that is recorded: larger ones keep a GPU busy anyway, and the embedding's gradient can no
longer be recorded.
"""
_AFTER = 3
"""Number of passes of a shape before it is recorded."""
_MOST = 4
"""Maximum number of recorded shapes: each holds its own gradients in memory."""


@dataclass(frozen=True)
class Pass:
    """The sequences of one forward and backward pass, and their targets."""

    rows: Sequence[Sequence[int]]
    """Input token ids of each sequence."""
    wanted: Sequence[Sequence[int]]
    """For each row the positions whose next token belongs to an answer."""
    targets: Sequence[int]
    """[targets]: the answer tokens, row after row."""
    weights: NDArray[np.float32]
    """[targets]: weight of each target in the loss."""

    @property
    def lengths(self) -> Ints:
        """[rows]: tokens of each row."""
        return np.array([len(row) for row in self.rows])

    @property
    def ids(self) -> Ints:
        """[tokens]: token ids of the rows, end to end."""
        return np.concatenate([np.array(row) for row in self.rows])

    @property
    def positions(self) -> Ints:
        """[tokens]: position index of each token within its row, from 0."""
        return np.concatenate([np.arange(len(row)) for row in self.rows])

    @property
    def flat_wanted(self) -> Ints:
        """[targets]: indices of the wanted tokens among the flat tokens."""
        starts = np.cumsum(self.lengths) - self.lengths
        return np.concatenate([start + np.array(wanted) for start, wanted in zip(starts, self.wanted, strict=True)])


def padded(training_pass: Pass, rows: int, longest: int) -> dict[str, NDArray[Any]]:
    """The pass as arrays for `backward`, padded to a shape that many passes share.

    rows, longest: the most rows, and the most tokens per row, of any pass with that shape.
    """
    lengths = training_pass.lengths
    tokens = int(lengths.sum())
    padded_tokens, answers = _round_up(tokens + 1, _TOKENS), _round_up(len(training_pass.targets), _ANSWERS)
    gather, scatter = places(lengths, _round_up(longest, _COLUMNS))
    empty_rows = np.zeros((rows + 1 - len(lengths), gather.shape[1]), dtype=np.int64)
    unused = rows * gather.shape[1]  # the first place of the last row, which holds no token
    return {
        "ids": _pad(training_pass.ids, padded_tokens, 0),
        "positions": _pad(training_pass.positions, padded_tokens, 0),
        "gather": np.concatenate([gather, empty_rows]),
        "scatter": _pad(scatter, padded_tokens, unused),
        "wanted": _pad(training_pass.flat_wanted, answers, tokens),  # the first token of the padding
        "targets": _pad(np.array(training_pass.targets), answers, 0),
        "weights": np.pad(training_pass.weights, (0, answers - len(training_pass.weights))),
    }


def backward(network: Network, inputs: Mapping[str, Tensor]) -> Tensor:
    """Add the gradient of a padded pass to the parameters; returns its loss in nats, detached.

    inputs: the arrays of `padded` as tensors on the network's device.
    """
    packed = PackedRows(RowIndex(inputs["gather"], inputs["scatter"]))
    with network.autocast():
        hidden = network.read(inputs["ids"], inputs["positions"], packed, inputs["wanted"])
        nats = cross_entropy(network.logits(hidden), inputs["targets"], reduction="none")
    loss = (nats * inputs["weights"]).sum()
    torch.autograd.backward(loss)
    return loss.detach()


class GraphedPasses:
    """The recorded passes of one tuning run. On a CPU `takes` is always False, and nothing is recorded."""

    def __init__(
        self,
        network: Network,
        parameters: Sequence[Tensor],
        rows: int,
        longest: int,
        budget: int,
        in_place: bool = False,
    ) -> None:
        """Prepare for passes of one tuning run; nothing is recorded yet.

        rows, longest: the most rows, and the most tokens per row, of any step of the run.
        budget: maximum tokens per pass.
        in_place: gradients are added to the parameters' existing `grad` tensors; False: each recorded shape has
        gradient tensors of its own, which become the parameters' `grad`.
        """
        self._most = min(budget, _LARGEST) if network.device.type == "cuda" and network.supports_packing(longest) else 0
        self._network, self._parameters, self._in_place = network, parameters, in_place
        self._rows, self._longest = rows, longest
        self._passes_of: Counter[tuple[int, ...]] = Counter()
        self._recorded: dict[tuple[int, ...], _Recorded] = {}

    def takes(self, tokens: int) -> bool:
        """Whether a pass of that many tokens should run through `backward` of this object."""
        return tokens < self._most

    def backward(self, training_pass: Pass) -> Tensor:
        """The loss of the pass in nats; its gradient is set on the parameters, whose gradients must be zero or None."""
        arrays = padded(training_pass, self._rows, self._longest)
        shape = len(arrays["ids"]), len(arrays["targets"])
        self._passes_of[shape] += 1
        if shape not in self._recorded and self._passes_of[shape] > _AFTER and len(self._recorded) < _MOST:
            self._recorded[shape] = _Recorded(self._network, self._parameters, arrays, self._in_place)
        if shape in self._recorded:
            return self._recorded[shape].replay(arrays)
        return backward(self._network, {name: on_device(value, self._network.device) for name, value in arrays.items()})


class _Recorded:
    """The CUDA graph of one shape; its inputs, loss and gradients have fixed addresses in memory."""

    def __init__(
        self, network: Network, parameters: Sequence[Tensor], arrays: Mapping[str, NDArray[Any]], in_place: bool
    ) -> None:
        self._parameters, self._in_place = parameters, in_place
        self._inputs = {name: on_device(value, network.device) for name, value in arrays.items()}
        self._graph = torch.cuda.CUDAGraph()
        self._clear_gradients()
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # a warm-up pass, so that libraries initialise outside of the recording
            backward(network, self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._clear_gradients()
        with torch.cuda.graph(self._graph):
            self._loss = backward(network, self._inputs)
        self._gradients = [parameter.grad for parameter in parameters]

    def replay(self, arrays: Mapping[str, NDArray[Any]]) -> Tensor:
        """Run the graph on the arrays of `padded`; returns the loss and sets the parameters' gradients."""
        for name, value in arrays.items():
            self._inputs[name].copy_(torch.from_numpy(value).pin_memory(), non_blocking=True)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._loss

    def _clear_gradients(self) -> None:
        """Zero the gradients if they are kept in place, else drop them."""
        for parameter in self._parameters:
            if self._in_place and parameter.grad is not None:
                parameter.grad.zero_()
            else:
                parameter.grad = None


def _pad(values: NDArray[np.int64], length: int, value: int) -> NDArray[np.int64]:
    """The values, followed by `value` up to that length."""
    return np.pad(values.astype(np.int64), (0, length - len(values)), constant_values=value)


def _round_up(number: int, step: int) -> int:
    """The smallest multiple of `step` that is at least `number`."""
    return -(-number // step) * step
