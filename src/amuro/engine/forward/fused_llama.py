"""Fused forward and backward of Llama-style decoder layers (CPU, float32).

The values and gradients are those of the transformers modules, with fewer memory passes. On a CPU a small model spends
more time outside its matrix products than in them: in norms, rotary embeddings, gates and residual sums, in Python code
of the modules, and in autograd's bookkeeping of each operation. Here a layer is two blocks, before and after attention,
each one autograd function with a hand-written backward pass. In the last layer only the wanted tokens are queried, and
only their states are computed further.

Weights, parameter names and attention remain those of the model. Models that this does not cover (with adapters,
bfloat16, CUDA graphs or recomputed layers) run through their own modules (`FusedDecoder.applies`).
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
"""Model types with pre-norm: attention and MLP get normalised inputs. OLMo 2 normalises their outputs instead."""

_EPSILON = 1e-5
"""Epsilon of OLMo's layer norm; a constant in transformers' module."""

Gradients = dict[Tensor, Tensor]
"""Weight → its gradient."""
Backward = Callable[..., tuple[Tensor, ...]]
"""(weight_gradients, gradients of the outputs) → gradients of the inputs; weight gradients are stored in the dict."""


@dataclass(frozen=True)
class FusedDecoder:
    """The decoder of a transformers model (embedding, layers, final norm; no head) on a CPU in float32."""

    decoder: Any
    """transformers' own module of the decoder (`model.base_model`)."""
    layers: Sequence[_Layer]
    _rotary_tables: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Number of positions → rotary cosines and sines [positions, head width / 2]."""

    @classmethod
    def of(cls, model: Any) -> FusedDecoder | None:
        """The fused decoder of a transformers causal language model; None where its architecture is not supported."""
        config = model.config
        norm_first = config.model_type in _NORM_FIRST
        known = norm_first or config.model_type == "olmo2"
        if not known or config.hidden_act != "silu" or getattr(config, "clip_qkv", None) is not None:
            return None
        return cls(model.base_model, [_Layer(layer, norm_first) for layer in model.base_model.layers])

    def applies(self) -> bool:
        """Whether the fused blocks may replace every layer: none has an adapter or gradient checkpointing."""
        return all(layer.is_plain for layer in self.layers)

    def read(self, ids: Tensor, positions: Tensor, layout: AttentionPattern, wanted: Tensor | None) -> Tensor:
        """Last hidden states [wanted, width]; arguments as in `Network.read`."""
        states: Tensor = self.decoder.embed_tokens(ids)
        cos, sin = (table.index_select(0, positions)[:, None] for table in self._tables(int(positions.max()) + 1))
        for number, layer in enumerate(self.layers):
            queried = wanted if number == len(self.layers) - 1 else None
            query, key, value = layer.enter(states, cos, sin, queried)
            if queried is not None:
                assert isinstance(layout, PackedRows)  # with a `DecodeCache` every token is a query
                layout, states = layout.queried_by(queried), _rows_of(states, queried)
            attended = layout.attend(number, _heads_first(query), _heads_first(key), _heads_first(value), layer.scale)
            states = layer.leave(states, attended[0].flatten(1))
        normed: Tensor = self.decoder.norm(states)
        return normed

    def _tables(self, positions: int) -> tuple[Tensor, Tensor]:
        """Rotary cosines and sines [at least `positions`, head width / 2], cached for powers of two.

        Both halves of a head are rotated by the same angles, so half the width is enough.
        """
        size = 1 << (positions - 1).bit_length()
        if size not in self._rotary_tables:
            cos, sin = self.decoder.rotary_emb(self.decoder.embed_tokens.weight[:1], torch.arange(size)[None])
            half = cos.shape[-1] // 2
            self._rotary_tables[size] = cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous()
        return self._rotary_tables[size]


class _Layer:
    """One decoder layer as two fused blocks: `enter` before attention and `leave` after it."""

    def __init__(self, layer: Any, norm_first: bool) -> None:
        """norm_first: attention and MLP get normalised inputs (pre-norm); False: their outputs are normalised."""
        self._layer, attention, mlp = layer, layer.self_attn, layer.mlp
        self.scale, self._width = float(attention.scaling), int(attention.head_dim)
        self._entering = (attention.q_proj, attention.k_proj, attention.v_proj)
        self._leaving = (attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        self._qkv_norms = (getattr(attention, "q_norm", None), getattr(attention, "k_norm", None), None)
        if norm_first:
            self._norms = layer.input_layernorm, None, layer.post_attention_layernorm, None
        else:
            self._norms = None, layer.post_attention_layernorm, None, layer.post_feedforward_layernorm
        self._enter_weights = _weights(*self._entering, *self._qkv_norms, *self._norms[:1])
        self._leave_weights = _weights(*self._leaving, *self._norms[1:])

    @property
    def is_plain(self) -> bool:
        """Whether all linear layers are unmodified `torch.nn.Linear`s and the layer is not recomputed in backward."""
        modules = (*self._entering, *self._leaving)
        unmodified = all(type(module) is torch.nn.Linear and "forward" not in vars(module) for module in modules)
        return unmodified and not self._layer.gradient_checkpointing

    def enter(self, states: Tensor, cos: Tensor, sin: Tensor, queried: Tensor | None) -> tuple[Tensor, ...]:
        """Pre-norm, projections and rotary embedding: states [tokens, width] → query, key and value.

        query: [queried, heads, head width] of the tokens with the indices `queried` (None: of all tokens).
        key, value: [tokens, key heads, head width].
        """
        return _run(partial(self._enter, cos, sin, queried), (states,), self._enter_weights)

    def _enter(
        self, cos: Tensor, sin: Tensor, queried: Tensor | None, _learning: bool, states: Tensor
    ) -> tuple[tuple[Tensor, ...], Backward]:
        """The forward pass of `enter`, and its backward pass as a function."""
        heads = -1, self._width
        q_proj, *kv_proj = self._entering
        normed, norm_backward = _normed(self._norms[0], states)
        queried_states, query_cos, query_sin = (_rows_of(tensor, queried) for tensor in (normed, cos, sin))
        projected = [
            linear(queried_states, q_proj.weight, q_proj.bias),
            *(linear(normed, module.weight, module.bias) for module in kv_proj),
        ]
        (query, q_norm_backward), (key, k_norm_backward), (value, _) = map(_normed, self._qkv_norms, projected)

        def backward(gradients: Gradients, d_query: Tensor, d_key: Tensor, d_value: Tensor) -> tuple[Tensor, ...]:
            d_q = q_norm_backward(gradients, _rotated(d_query, query_cos, -query_sin).flatten(1))
            d_kv = [k_norm_backward(gradients, _rotated(d_key, cos, -sin).flatten(1)), d_value.flatten(1)]
            d_normed = _linear_backward(gradients, [q_proj], queried_states, [d_q])
            if queried is not None:
                d_normed = torch.zeros_like(normed).index_copy_(0, queried, d_normed)
            return (norm_backward(gradients, _linear_backward(gradients, kv_proj, normed, d_kv, d_normed)),)

        query, key, value = (tensor.view(len(tensor), *heads) for tensor in (query, key, value))
        return (_rotated(query, query_cos, query_sin), _rotated(key, cos, sin), value), backward

    def leave(self, states: Tensor, attended: Tensor) -> Tensor:
        """Output projection, MLP, residual sums and norms.

        states: [tokens, width], the layer's input. attended: [tokens, heads × head width], attention's result.
        Returns the layer's output [tokens, width].
        """
        (output,) = _run(self._leave, (states, attended), self._leave_weights)
        return output

    def _leave(self, learning: bool, states: Tensor, attended: Tensor) -> tuple[tuple[Tensor, ...], Backward]:
        """The forward pass of `leave`, and its backward pass as a function.

        Without `learning` intermediate tensors are overwritten in place, so the backward pass must not be called.
        """
        out, gate, up, down = self._leaving
        projected, out_norm_backward = _normed(self._norms[1], linear(attended, out.weight, out.bias))
        residual = projected.add_(states)
        normed, mlp_norm_backward = _normed(self._norms[2], residual)
        gate_input, up_output = linear(normed, gate.weight, gate.bias), linear(normed, up.weight, up.bias)
        gate_output = silu(gate_input, inplace=not learning)
        inner = gate_output * up_output if learning else gate_output.mul_(up_output)
        mlp_output, down_norm_backward = _normed(self._norms[3], linear(inner, down.weight, down.bias))

        def backward(gradients: Gradients, d_output: Tensor) -> tuple[Tensor, ...]:
            d_inner = _linear_backward(gradients, [down], inner, [down_norm_backward(gradients, d_output)])
            d_up = d_inner * gate_output
            d_gate = torch.ops.aten.silu_backward(d_inner.mul_(up_output), gate_input)
            d_normed = _linear_backward(gradients, [gate, up], normed, [d_gate, d_up])
            d_residual = mlp_norm_backward(gradients, d_normed).add_(d_output)
            d_projected = out_norm_backward(gradients, d_residual)
            return d_residual, _linear_backward(gradients, [out], attended, [d_projected])

        return (mlp_output.add_(residual),), backward


def _run(
    block: Callable[..., tuple[tuple[Tensor, ...], Backward]], states: tuple[Tensor, ...], weights: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The outputs of the block for those states; with gradients enabled it is recorded as one autograd function."""
    if not torch.is_grad_enabled():
        return block(False, *states)[0]
    untyped: Any = _Block
    outputs: tuple[Tensor, ...] = untyped.apply(block, len(states), *states, *weights)
    return outputs


class _Block(torch.autograd.Function):
    """One autograd function for a block with a hand-written backward pass."""

    @staticmethod
    def forward(context: Any, block: Any, number: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """tensors: `number` states, then the block's weights, listed so that autograd asks for their gradients."""
        outputs: tuple[Tensor, ...]
        outputs, context.block_backward = block(True, *tensors[:number])
        context.weights = tensors[number:]
        return outputs

    @staticmethod
    @once_differentiable
    def backward(context: Any, *d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        gradients: Gradients = {}
        d_states = context.block_backward(gradients, *d_outputs)
        return None, None, *d_states, *(gradients.get(weight) for weight in context.weights)


def _linear_backward(
    gradients: Gradients,
    modules: Sequence[Any],
    inputs: Tensor,
    d_outputs: Sequence[Tensor],
    total: Tensor | None = None,
) -> Tensor:
    """Backward pass of linear modules that share their inputs [tokens, in].

    d_outputs: gradient of each module's output [tokens, out]. Gradients of weights and biases go into `gradients`.
    Returns the gradient of the inputs, added to `total` in place where that is given.
    """
    for module, d_output in zip(modules, d_outputs, strict=True):
        gradients[module.weight] = d_output.T @ inputs
        if module.bias is not None:
            gradients[module.bias] = d_output.sum(0)
        total = d_output @ module.weight if total is None else total.addmm_(d_output, module.weight)
    assert total is not None
    return total


def _normed(norm: Any, states: Tensor) -> tuple[Tensor, Callable[[Gradients, Tensor], Tensor]]:
    """States [tokens, width] after a norm module of transformers (None: unchanged), and its backward pass.

    The norm is an RMS norm with a weight, over as many numbers as the weight has (one head in Qwen 3), or OLMo's layer
    norm, which has no weight.
    """
    if norm is None:
        return states, lambda _gradients, d_normed: d_normed
    weight = getattr(norm, "weight", None)
    if weight is None:
        normed, layer_norm_backward = layer_normed(states, _EPSILON)
        return normed, lambda _gradients, d_normed: layer_norm_backward(d_normed)
    shape = -1, len(weight)
    normed, rms_backward = rms_normed(states.view(shape), weight, norm.variance_epsilon)

    def backward(gradients: Gradients, d_normed: Tensor) -> Tensor:
        d_states, gradients[weight] = rms_backward(d_normed.view(shape))
        return d_states.view_as(d_normed)

    return normed.view_as(states), backward


def _rotated(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """States [tokens, heads, width] after the rotary embedding (Su et al. 2021, arXiv:2104.09864).

    Place i of a head's first half and place i of its second half are one rotated pair, as in transformers; the paper
    pairs neighbours. cos, sin: [tokens, 1, width / 2]. With `-sin` it is the inverse, hence the backward pass.
    """
    out = states.new_empty(states.shape)
    (left, right), (new_left, new_right) = states.chunk(2, -1), out.chunk(2, -1)
    torch.mul(left, cos, out=new_left).addcmul_(right, sin, value=-1)
    torch.mul(right, cos, out=new_right).addcmul_(left, sin)
    return out


def _rows_of(states: Tensor, tokens: Tensor | None) -> Tensor:
    """`states[tokens]`; all states where `tokens` is None."""
    return states if tokens is None else states.index_select(0, tokens)


def _heads_first(states: Tensor) -> Tensor:
    """[tokens, heads, width] → [1, heads, tokens, width]."""
    return states.transpose(0, 1)[None]


def _weights(*modules: Any) -> tuple[Tensor, ...]:
    """All parameters of the modules, in order; None among the modules is skipped."""
    return tuple(weight for module in modules if module is not None for weight in module.parameters())
