"""Scores of any model of a known family, whatever its sizes and vocabulary, the lengths and the shots."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import make_ask
from transformers import AutoConfig, AutoModelForCausalLM

from amuro.core.requests import Request
from amuro.engine.forward.causal_lm import KNOWN, Network
from amuro.engine.forward.fused_norms import hasten_norms
from amuro.engine.forward.packed_attention import NAME
from amuro.engine.inference import loglikelihood as scoring
from amuro.engine.inference.loglikelihood import score


@st.composite
def configs(draw: st.DrawFn) -> Any:
    """An architecture with sizes drawn apart, among them heads that share keys."""
    family = draw(st.sampled_from(sorted(KNOWN)))
    groups, shared = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2]))
    heads = groups * shared
    sizes = {"num_key_value_heads": groups} if family != "gpt_neox" else {}
    return AutoConfig.for_model(
        family,
        vocab_size=draw(st.integers(4, 300)),
        hidden_size=heads * draw(st.sampled_from([4, 8])),
        intermediate_size=draw(st.integers(4, 40)),
        num_hidden_layers=draw(st.integers(1, 3)),
        num_attention_heads=heads,
        max_position_embeddings=128,
        tie_word_embeddings=draw(st.booleans()),
        initializer_range=0.3,  # large, so that a wrong mask or position shows
        pad_token_id=None,
        **sizes,
    )


def ids(vocabulary: int, most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, vocabulary - 1), min_size=1, max_size=most).map(tuple)


@torch.no_grad()
def alone(model: Any, context: tuple[int, ...], option: tuple[int, ...]) -> float:
    """Summed log-probability of one option after its whole context, read by transformers alone."""
    logits = model(torch.tensor([[*context, *option]])).logits[0, len(context) - 1 : -1].double()
    return float(logits.log_softmax(-1).gather(1, torch.tensor(option)[:, None]).sum())


@settings(max_examples=60, deadline=None)
@given(
    config=configs(), seed=st.integers(0, 99), budget=st.integers(1, 200), logits=st.integers(1, 2000), data=st.data()
)
def test_no_model_vocabulary_length_shot_or_batch_changes_a_score(
    config: Any, seed: int, budget: int, logits: int, data: st.DataObject
) -> None:
    """Sums are those of each option read alone within 1e-4, however rows share passes."""
    vocabulary = config.vocab_size
    shots = data.draw(st.lists(ids(vocabulary, 8), max_size=5))
    option = st.lists(ids(vocabulary, 6), min_size=1, max_size=5).map(tuple)
    requests = data.draw(
        st.lists(st.builds(Request, st.just("q"), ids(vocabulary, 20), option), min_size=1, max_size=8)
    )
    prefix = tuple(token for shot in shots for token in shot)
    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    expected = [[alone(model, (*prefix, *request.context), one) for one in request.options] for request in requests]
    model.set_attn_implementation(NAME)
    hasten_norms(model)
    with patch.object(scoring, "_TOKENS", {"cpu": budget}), patch.object(scoring, "_LOGITS", {"cpu": logits}):
        got = score(Network(model, "float32", torch.device("cpu")), make_ask(requests, prefix))
    for found, wanted in zip(got, expected, strict=True):
        torch.testing.assert_close(
            torch.tensor(found), torch.tensor(wanted, dtype=torch.float64).float(), rtol=0, atol=1e-4
        )
