"""Low-rank adapters: drawn by peft, multiplied with the tokens of their own run, merged into the weights at the end.

Several runs share one frozen model: its matrices are multiplied once with the tokens of all runs, end to end, and each
adapter with the span of its own tokens (as Ye et al. 2023, arXiv:2312.02515).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from amuro.types import Recipe

Span = tuple[int, int]
"""First token and the one behind the last."""


@dataclass(frozen=True)
class Adapter:
    """What is added to the matrices of a model's body: scale · up @ down for each."""

    flat: torch.nn.Parameter
    """[1, numbers]: all factors in one row, so that clipping and AdamW touch one tensor; its `grad` is the factors'."""
    factors: Mapping[str, tuple[Tensor, Tensor]]
    """Name of a linear layer → down [rank, in] and up [out, rank], which lie in `flat`."""
    scale: float

    def finished(self) -> Adapter:
        """The same without room for gradients."""
        self.flat.grad = None
        return replace(self, factors={name: (down.detach(), up.detach()) for name, (down, up) in self.factors.items()})

    def merge(self, model: Any) -> None:
        """Add the adapter to the model's weights, in place."""
        with torch.no_grad():
            for name, (down, up) in self.factors.items():
                _matrix(model.get_submodule(name)).add_((up @ down) * self.scale)


def draw_adapter(model: Any, recipe: Recipe, tune_seed: int) -> Adapter:
    """An adapter beside every linear layer of the body (all layers, as arXiv 2405.09673 §3; rank and alpha are the
    recipe's), without dropout.

    `tune_seed` draws the first halves as peft does; the second halves are zero, so nothing changes before the first
    step. The model is left as it was.
    """
    adapted = _injected(model, recipe, tune_seed)
    drawn = {
        name: (layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach())
        for name, layer in adapted.get_base_model().named_modules()
        if hasattr(layer, "lora_A")
    }
    adapted.unload().requires_grad_(True)
    return _flattened(drawn, recipe.lora_alpha / recipe.lora_rank)


def _injected(model: Any, recipe: Recipe, tune_seed: int) -> Any:
    """A model of peft around `model`, whose linear layers it has replaced."""
    from peft import LoraConfig, get_peft_model  # takes seconds to import

    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is going away
        warnings.filterwarnings("ignore", message="fan_in_fan_out")  # it sets by itself what GPT-2's layers need
        torch.manual_seed(tune_seed)
        return get_peft_model(model, config)


def _flattened(drawn: Mapping[str, tuple[Tensor, Tensor]], scale: float) -> Adapter:
    """The same numbers in one tensor, and their gradients in another."""
    values = [factor for pair in drawn.values() for factor in pair]
    flat = torch.nn.Parameter(torch.cat([value.flatten() for value in values])[None].float(), requires_grad=False)
    flat.grad = torch.zeros_like(flat)
    sizes = [value.numel() for value in values]
    pieces = zip(values, torch.split(flat[0], sizes), torch.split(flat.grad[0], sizes), strict=True)
    leaves = iter([_leaf(piece.view_as(value), grad.view_as(value)) for value, piece, grad in pieces])
    return Adapter(flat, {name: (next(leaves), next(leaves)) for name in drawn}, scale)


def _leaf(values: Tensor, grad: Tensor) -> Tensor:
    """A tensor of its own for autograd, which adds to the given gradient in place."""
    leaf = values.detach().requires_grad_(True)
    leaf.grad = grad
    return leaf


@dataclass
class Spans:
    """Whose tokens stand where in the forward pass that comes."""

    _of: dict[int, list[tuple[Adapter, Span]]] = field(default_factory=dict)
    """Number of tokens in all → each adapter with its span."""

    def lay(self, *laid: Sequence[tuple[Adapter, int]]) -> None:
        """Each adapter with its number of tokens, in order; once for each number of tokens that layers are given."""
        self._of = {}
        for counts in laid:
            ends = list(accumulate(count for _, count in counts))
            spans = zip([0, *ends], ends, strict=False)
            self._of[ends[-1]] = [(adapter, span) for (adapter, _), span in zip(counts, spans, strict=True)]

    def whose(self, tokens: int) -> list[tuple[Adapter, Span]]:
        """Each adapter with its span of so many tokens. One alone has them all, whatever part a layer is given."""
        first = next(iter(self._of.values()))
        return [(first[0][0], (0, tokens))] if len(first) == 1 else self._of[tokens]


@contextmanager
def beside(model: Any, names: Sequence[str]) -> Iterator[Spans]:
    """Inside, the named linear layers of `model` are frozen and add the adapters of the spans that were laid."""
    spans = Spans()
    modules = {name: model.get_submodule(name) for name in names}
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    for name, module in modules.items():
        module.forward = partial(_forward, name, module, spans)
    try:
        yield spans
    finally:
        for module in modules.values():
            del module.forward
        for parameter in wanted:
            parameter.requires_grad_(True)


def _forward(name: str, module: Any, spans: Spans, states: Tensor) -> Tensor:
    """What the layer gives for states [..., in], each token by its own adapter: [..., out]."""
    flat = states.flatten(0, -2)
    chosen = spans.whose(len(flat))
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
    factors = [factor for adapter, _ in chosen for factor in adapter.factors[name]]
    scales = [(*span, adapter.scale) for adapter, span in chosen]
    untyped: Any = _Adapted
    out: Tensor = untyped.apply(flat, _matrix(module), module.bias, dtype, scales, *factors)
    return out.view(*states.shape[:-1], -1)


def _matrix(module: Any) -> Tensor:
    """[out, in]; the transformers of GPT-2 keep theirs the other way round."""
    weight: Tensor = module.weight
    return weight if isinstance(module, torch.nn.Linear) else weight.T


class _Adapted(torch.autograd.Function):
    """states @ matrixᵀ + bias + scale · states @ downᵀ @ upᵀ, the latter span by span.

    One function, because autograd would read and write all states once more for every sum and product.
    """

    @staticmethod
    def forward(
        context: Any,
        states: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype,
        spans: list[tuple[int, int, float]],
        *factors: Tensor,
    ) -> Tensor:
        states, matrix = states.to(dtype), matrix.to(dtype)
        bias, factors = None if bias is None else bias.to(dtype), tuple(factor.to(dtype) for factor in factors)
        out = linear(states, matrix, bias)
        lows = []
        for (begin, end, scale), down, up in zip(spans, factors[::2], factors[1::2], strict=True):
            lows.append(linear(states[begin:end], down) * scale)
            out[begin:end].addmm_(lows[-1], up.T)
        context.save_for_backward(states, matrix, *lows, *factors)
        context.spans = spans
        return out

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, matrix, *saved = context.saved_tensors
        lows, factors = saved[: len(context.spans)], saved[len(context.spans) :]
        given = gradient @ matrix if context.needs_input_grad[0] else None
        found = []
        for (begin, end, scale), low, down, up in zip(context.spans, lows, factors[::2], factors[1::2], strict=True):
            own = gradient[begin:end]
            narrow = (own @ up) * scale
            found += [narrow.T @ states[begin:end], own.T @ low]
            if given is not None:
                given[begin:end].addmm_(narrow, down)
        return given, None, None, None, None, *found
