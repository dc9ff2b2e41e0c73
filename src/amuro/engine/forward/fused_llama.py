"""Bodies of the Llama kind in few passes over memory: what their modules compute, with the same gradients.

On a CPU a small model spends more time between its matrices than in them: in norms, rotations, gates and sums, in the
modules' own Python, and in autograd's record of each operation. Here a layer is two blocks, one on either side of
attention, that know their gradients. In the last layer only the wanted tokens ask, and only they go on.
Weights, names and attention stay the model's. What adapters, bfloat16, CUDA graphs or layers that compute again have
changed is read by the modules (`LeanBody.applies`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear, silu

from amuro.engine.forward.fused_norms import layer_normed, rms_normed
from amuro.engine.forward.packed_attention import AttentionPattern, PackedRows

_NORM_FIRST = frozenset({"llama", "mistral", "olmo", "qwen2", "qwen3"})
"""Types that norm what enters attention and the gated layer; OLMo 2 norms what leaves them."""

_EPSILON = 1e-5
"""Of OLMo's layer norm, written into its module."""

Found = dict[Tensor, Tensor]
"""Weight → its gradient."""
Back = Callable[..., tuple[Tensor, ...]]
"""(found, gradients of the outputs) → gradients of the inputs; those of the weights are put into `found`."""


@dataclass(frozen=True)
class FusedDecoder:
    """A transformers model without its head, on a CPU in float32."""

    body: Any
    layers: Sequence[_Layer]
    _turns: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Number of positions → cosines and sines [positions, width of a head / 2]."""

    @classmethod
    def of(cls, model: Any) -> FusedDecoder | None:
        """None where the model has parts that are not known here."""
        config = model.config
        first = config.model_type in _NORM_FIRST
        known = first or config.model_type == "olmo2"
        if not known or config.hidden_act != "silu" or getattr(config, "clip_qkv", None) is not None:
            return None
        return cls(model.base_model, [_Layer(layer, first) for layer in model.base_model.layers])

    def applies(self) -> bool:
        """Whether every layer is as it was made: no adapter stands in a module's place, none will compute again."""
        return all(layer.is_plain for layer in self.layers)

    def read(self, ids: Tensor, positions: Tensor, layout: AttentionPattern, wanted: Tensor | None) -> Tensor:
        """As `Network.read`."""
        states: Tensor = self.body.embed_tokens(ids)
        cos, sin = (table.index_select(0, positions)[:, None] for table in self._tables(int(positions.max()) + 1))
        for number, layer in enumerate(self.layers):
            asking = wanted if number == len(self.layers) - 1 else None
            query, key, value = layer.enter(states, cos, sin, asking)
            if asking is not None:
                assert isinstance(layout, PackedRows)  # in `Slots` every token asks
                layout, states = layout.queried_by(asking), _some(states, asking)
            seen = layout.attend(number, _heads_first(query), _heads_first(key), _heads_first(value), layer.scale)
            states = layer.leave(states, seen[0].flatten(1))
        normed: Tensor = self.body.norm(states)
        return normed

    def _tables(self, positions: int) -> tuple[Tensor, Tensor]:
        """For a round number of positions. A rotation by halves turns both halves of a head alike."""
        size = 1 << (positions - 1).bit_length()
        if size not in self._turns:
            cos, sin = self.body.rotary_emb(self.body.embed_tokens.weight[:1], torch.arange(size)[None])
            half = cos.shape[-1] // 2
            self._turns[size] = cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous()
        return self._turns[size]


class _Layer:
    """One decoder layer, as two blocks."""

    def __init__(self, layer: Any, norm_first: bool) -> None:
        """norm_first: norms stand before attention and the gated layer; else behind."""
        self._layer, attention, mlp = layer, layer.self_attn, layer.mlp
        self.scale, self._width = float(attention.scaling), int(attention.head_dim)
        self._entering = (attention.q_proj, attention.k_proj, attention.v_proj)
        self._leaving = (attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        self._made_norms = (getattr(attention, "q_norm", None), getattr(attention, "k_norm", None), None)
        if norm_first:
            self._norms = layer.input_layernorm, None, layer.post_attention_layernorm, None
        else:
            self._norms = None, layer.post_attention_layernorm, None, layer.post_feedforward_layernorm
        self._enter_weights = _weights(*self._entering, *self._made_norms, *self._norms[:1])
        self._leave_weights = _weights(*self._leaving, *self._norms[1:])

    @property
    def is_plain(self) -> bool:
        modules = (*self._entering, *self._leaving)
        own = all(type(one) is torch.nn.Linear and "forward" not in vars(one) for one in modules)
        return own and not self._layer.gradient_checkpointing

    def enter(self, states: Tensor, cos: Tensor, sin: Tensor, asking: Tensor | None) -> tuple[Tensor, ...]:
        """States [tokens, width] → query [asking, heads, width of a head] of those tokens that ask (None: of all), key
        and value [tokens, heads, width of a head].
        """
        return _run(partial(self._enter, cos, sin, asking), (states,), self._enter_weights)

    def _enter(
        self, cos: Tensor, sin: Tensor, asking: Tensor | None, _learning: bool, states: Tensor
    ) -> tuple[tuple[Tensor, ...], Back]:
        heads = -1, self._width
        asks, *keeps = self._entering
        given, to_states = _normed(self._norms[0], states)
        querying, its_cos, its_sin = (_some(one, asking) for one in (given, cos, sin))
        made = [linear(querying, asks.weight, asks.bias), *(linear(given, one.weight, one.bias) for one in keeps)]
        (query, to_query), (key, to_key), (value, _) = map(_normed, self._made_norms, made)

        def back(found: Found, of_query: Tensor, of_key: Tensor, of_value: Tensor) -> tuple[Tensor, ...]:
            of_asked = to_query(found, _turned(of_query, its_cos, -its_sin).flatten(1))
            of_kept = [to_key(found, _turned(of_key, cos, -sin).flatten(1)), of_value.flatten(1)]
            total = _through(found, [asks], querying, [of_asked])
            if asking is not None:
                total = torch.zeros_like(given).index_copy_(0, asking, total)
            return (to_states(found, _through(found, keeps, given, of_kept, total)),)

        query, key, value = (one.view(len(one), *heads) for one in (query, key, value))
        return (_turned(query, its_cos, its_sin), _turned(key, cos, sin), value), back

    def leave(self, states: Tensor, seen: Tensor) -> Tensor:
        """States [tokens, width] and what attention saw for them → the states behind the layer."""
        (found,) = _run(self._leave, (states, seen), self._leave_weights)
        return found

    def _leave(self, learning: bool, states: Tensor, seen: Tensor) -> tuple[tuple[Tensor, ...], Back]:
        out, gate, up, down = self._leaving
        added, to_added = _normed(self._norms[1], linear(seen, out.weight, out.bias))
        between = added.add_(states)
        given, to_between = _normed(self._norms[2], between)
        opened, raised = linear(given, gate.weight, gate.bias), linear(given, up.weight, up.bias)
        opening = silu(opened, inplace=not learning)
        inner = opening * raised if learning else opening.mul_(raised)
        behind, to_behind = _normed(self._norms[3], linear(inner, down.weight, down.bias))

        def back(found: Found, gradient: Tensor) -> tuple[Tensor, ...]:
            of_inner = _through(found, [down], inner, [to_behind(found, gradient)])
            of_raised = of_inner * opening
            of_opened = torch.ops.aten.silu_backward(of_inner.mul_(raised), opened)
            of_given = _through(found, [gate, up], given, [of_opened, of_raised])
            of_between = to_between(found, of_given).add_(gradient)
            return of_between, _through(found, [out], seen, [to_added(found, of_between)])

        return (behind.add_(between),), back


def _run(
    block: Callable[..., tuple[tuple[Tensor, ...], Back]], states: tuple[Tensor, ...], weights: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """What the block gives for those states; autograd is told of it as one function where it keeps record."""
    if not torch.is_grad_enabled():
        return block(False, *states)[0]
    untyped: Any = _Block
    found: tuple[Tensor, ...] = untyped.apply(block, len(states), *states, *weights)
    return found


class _Block(torch.autograd.Function):
    """A block that knows its gradients."""

    @staticmethod
    def forward(context: Any, block: Any, number: int, *given: Tensor) -> tuple[Tensor, ...]:
        """given: so many states, then all weights, which the block knows itself."""
        out, context.back = block(True, *given[:number])
        context.weights = given[number:]
        found: tuple[Tensor, ...] = out
        return found

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        found: Found = {}
        of_states = context.back(found, *gradients)
        return None, None, *of_states, *(found.get(weight) for weight in context.weights)


def _through(
    found: Found, modules: Sequence[Any], given: Tensor, gradients: Sequence[Tensor], total: Tensor | None = None
) -> Tensor:
    """The gradient of what linear modules were given, by those of what each of them gave [tokens, out]; added to
    `total`.
    """
    for module, gradient in zip(modules, gradients, strict=True):
        found[module.weight] = gradient.T @ given
        if module.bias is not None:
            found[module.bias] = gradient.sum(0)
        total = gradient @ module.weight if total is None else total.addmm_(gradient, module.weight)
    assert total is not None
    return total


def _normed(norm: Any, states: Tensor) -> tuple[Tensor, Callable[[Found, Tensor], Tensor]]:
    """States [tokens, width] by a norm of transformers, or as they are where there is none.

    Root mean square with a weight, over so many numbers as the weight has (a head's, Qwen 3); or OLMo's layer norm.
    """
    if norm is None:
        return states, lambda _found, gradient: gradient
    weight = getattr(norm, "weight", None)
    if weight is None:
        normed, to_states = layer_normed(states, _EPSILON)
        return normed, lambda _found, gradient: to_states(gradient)
    parts = -1, len(weight)
    normed, back = rms_normed(states.view(parts), weight, norm.variance_epsilon)

    def through(found: Found, gradient: Tensor) -> Tensor:
        of_states, found[weight] = back(gradient.view(parts))
        return of_states.view_as(gradient)

    return normed.view_as(states), through


def _turned(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The halves [tokens, heads, width / 2] of each head, turned by an angle a token and place [tokens, 1, width / 2]
    (Su et al. 2021, arXiv:2104.09864, as halves instead of neighbours).
    """
    out = states.new_empty(states.shape)
    (left, right), (new_left, new_right) = states.chunk(2, -1), out.chunk(2, -1)
    torch.mul(left, cos, out=new_left).addcmul_(right, sin, value=-1)
    torch.mul(right, cos, out=new_right).addcmul_(left, sin)
    return out


def _some(states: Tensor, tokens: Tensor | None) -> Tensor:
    return states if tokens is None else states.index_select(0, tokens)


def _heads_first(states: Tensor) -> Tensor:
    """[tokens, heads, width] → [1, heads, tokens, width]"""
    return states.transpose(0, 1)[None]


def _weights(*modules: Any) -> tuple[Tensor, ...]:
    return tuple(weight for module in modules if module is not None for weight in module.parameters())
