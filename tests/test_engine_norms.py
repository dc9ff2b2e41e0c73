"""Faster norms against the modules that they stand for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralRMSNorm
from transformers.models.olmo2.modeling_olmo2 import Olmo2RMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from amuro.engine.forward.fused_norms import hasten_norms, norm


@pytest.mark.parametrize("kind", [LlamaRMSNorm, MistralRMSNorm, Olmo2RMSNorm, Qwen2RMSNorm, Qwen3RMSNorm])
@pytest.mark.parametrize("shape", [(1, 7, 24), (1, 5, 3, 24)], ids=["hidden", "heads"])
def test_values_and_gradients_are_those_of_the_module(kind: Any, shape: tuple[int, ...]) -> None:
    """Output and both gradients agree with the module of each family, also where a row is nearly zero."""
    torch.manual_seed(0)
    module = kind(shape[-1], 1e-3)
    module.weight.data.normal_()
    hidden = torch.randn(shape)
    hidden[0, 0] *= 1e-3
    got, wanted = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    weight, gradient = module.weight.detach().clone().requires_grad_(), torch.randn(shape)
    torch.autograd.backward(norm(got, weight, 1e-3), gradient)
    torch.autograd.backward(module(wanted), gradient)
    torch.testing.assert_close(norm(got, weight, 1e-3), module(wanted), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(got.grad, wanted.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(weight.grad, module.weight.grad, atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    """The backward formula is right by itself, in double precision."""
    torch.manual_seed(1)
    hidden = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, dtype=torch.float64, requires_grad=True)
    from amuro.engine.forward.fused_norms import _Norm

    assert torch.autograd.gradcheck(lambda h, w: _Norm.apply(h, w, 1e-5), (hidden, weight))


def test_half_precision_stays_half() -> None:
    """What comes in bfloat16 goes on in bfloat16, computed in float32."""
    module = torch.nn.Sequential(Olmo2RMSNorm(8, 1e-6))
    hidden = torch.randn(2, 4, 8)
    wanted = module(hidden)
    hasten_norms(module)
    got = module(hidden.bfloat16())
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), wanted, atol=2e-2, rtol=2e-2)
