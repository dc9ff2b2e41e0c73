"""Low-rank adapters against peft's own layers in the ordinary loop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import EOS, training_pairs, tuned, words
from torch import Tensor

from amuro.core.errors import AmuroError
from amuro.core.requests import Training
from amuro.core.types import Model
from amuro.engine._load import live_tensors
from amuro.engine.forward.causal_lm import Network
from amuro.engine.torch import TorchEngine
from amuro.engine.training.finetune import finetune, finetune_adapter
from amuro.engine.training.lora import draw_adapter

NAMES = ("llama", "gpt_neox", "gemma2", "gpt2")
"""Flat tokens without and with biases; rows with padding, which are tuned alone; matrices the other way round."""
APART = 1e-5
"""Most that a loss in nats or a merged weight may differ."""


class Tuning(NamedTuple):
    """One tuning that is wanted."""

    sequences: Any
    model: Model
    rate: float


def adapter(seed: int = 1, rate: float = 1e-2, pairs: Any = None, **recipe: Any) -> Tuning:
    described = tuned(method="lora", tune_seed=seed, **{"lora_rank": 4, "lora_alpha": 8, **recipe})
    return Tuning(training_pairs() if pairs is None else pairs, described, rate)


def several() -> list[Tuning]:
    """Other seeds, rates, tasks, batch sizes, weightings, ranks and schedules; 10 to 18 steps."""
    rng = np.random.default_rng(4)
    other = [(words(rng, 5, 30), (*words(rng, 1, 3), EOS)) for _ in range(13)]
    return [
        adapter(1, 1e-2),
        adapter(2, 3e-3, epochs=3, weighting="example"),
        adapter(1, 1e-2, other, batch_size=3, epochs=3, weight_decay=0.1),
        adapter(5, 1e-3, training_pairs(9), lora_rank=2, lora_alpha=16, batch_size=1),
    ]


def _quiet(*_: Any) -> None:
    """Nobody is told."""


def by_peft(network: Network, wanted: Tuning) -> Training:
    """The same tuning with peft's layers in the model, one run, merged by peft."""
    recipe = wanted.model.recipe
    assert recipe is not None
    config = LoraConfig(
        r=recipe.lora_rank, lora_alpha=recipe.lora_alpha, lora_dropout=0.0, target_modules="all-linear",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(wanted.model.tune_seed or 0)
        adapted = get_peft_model(network.model, config)
    fresh = Network(network.model, network.precision, network.device)  # one remembers the modules of its last layer
    training = finetune(fresh, wanted.sequences, wanted.model, wanted.rate, _quiet)
    adapted.merge_and_unload().requires_grad_(True)
    return training


def weights(engine: TorchEngine) -> Mapping[str, Tensor]:
    return {name: tensor.clone() for name, tensor in live_tensors(engine._live().model).items()}


def farthest(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    assert list(left) == list(right)
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_learns_what_it_learns_in_peft(name: str, engine_of: Callable[[str], TorchEngine]) -> None:
    """Other tasks, seeds, rates, lengths and ranks one after another give the losses to 1e-5 and the merged weights
    that each gives in peft's layers, and tell each of their steps.
    """
    engine = engine_of(name)
    for wanted in several():
        told: list[tuple[int, int, float]] = []
        training = engine.tune(*wanted, lambda *step, told=told: told.append(step))
        plain = engine_of(name)
        theirs = by_peft(plain._live(), wanted)
        assert training.losses == pytest.approx(theirs.losses, abs=APART)
        assert farthest(weights(engine), weights(plain)) <= APART
        assert (training.steps, training.tokens, training.answer_tokens, training.diverged_at) == (
            theirs.steps, theirs.tokens, theirs.answer_tokens, None,
        )  # fmt: skip
        assert told == [(n, training.steps, loss) for n, loss in enumerate(training.losses, start=1)]


def test_small_forward_passes_change_nothing(engine_of: Callable[[str], TorchEngine]) -> None:
    """One sequence a pass, with layers that compute their states again, gives the losses of one pass a step."""
    network = engine_of("llama")._live()
    for wanted in several():
        (whole, _), (pieces, _) = (finetune_adapter(network, *wanted, _quiet, budget) for budget in (10_000, 8))
        assert pieces.losses == pytest.approx(whole.losses, abs=APART)


def test_an_absurd_rate_ends_a_tuning_and_no_other(engine_of: Callable[[str], TorchEngine]) -> None:
    """A tuning ends at the first step that is not finite; those before and after it are as without it."""
    engine = engine_of("llama")
    trainings = [engine.tune(*one, _quiet) for one in (adapter(1), adapter(2, 1e30, warmup_ratio=0.0), adapter(1))]
    first, wild, last = trainings
    assert wild.diverged_at == wild.steps == len(wild.losses) < 10
    assert all(map(math.isfinite, wild.losses))
    assert (first.diverged_at, first.losses) == (None, last.losses)


def test_what_was_kept_comes_back(engine_of: Callable[[str], TorchEngine]) -> None:
    """What was kept while a tuned model was live brings its very weights back, in any order and after a full tuning."""
    engine, kept = engine_of("llama"), []
    own = engine.weights_digest()
    for wanted in several():
        engine.tune(*wanted, _quiet)
        kept.append((engine.weights_digest(), engine.keep()))
    engine.tune(training_pairs(), tuned(), 1e-3, _quiet)
    for digest, tensors in [*reversed(kept), *kept]:
        engine.restore(tensors)
        assert engine.weights_digest() == digest
    assert len({own, *(digest for digest, _ in kept)}) == 5
    engine.reset()
    assert engine.weights_digest() == own
    assert all(p.requires_grad for p in engine._live().model.parameters())


def test_half_precision_is_near(engine_of: Callable[[str], TorchEngine]) -> None:
    """Under autocast the losses are peft's to what bfloat16 can hold, and the adapters stay float32."""
    network = Network(engine_of("llama")._live().model, "bfloat16", torch.device("cpu"))
    training, found = finetune_adapter(network, *adapter(), _quiet)
    assert training.losses == pytest.approx(by_peft(network, adapter()).losses, rel=0.02)
    assert found.flat.dtype == torch.float32


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_an_adapter_is_drawn_as_peft_draws_it(name: str, engine_of: Callable[[str], TorchEngine]) -> None:
    """Seed for seed the numbers of the first halves are peft's own, beside the same layers, named or not."""
    model = engine_of(name)._live().model
    for targets, chosen in (((), "all-linear"), (("c_attn", "q_proj"), ["c_attn", "q_proj"])):
        wanted = [one for one in targets if any(part.endswith(one) for part, _ in model.named_modules())]
        recipe = adapter(lora_targets=tuple(wanted)).model.recipe
        assert recipe is not None
        found = draw_adapter(model, recipe, 9).factors
        config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=chosen, task_type="CAUSAL_LM")
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(9)
            adapted = get_peft_model(model, config)
        theirs = {
            part: layer.lora_A["default"].weight.detach().clone()
            for part, layer in adapted.get_base_model().named_modules()
            if hasattr(layer, "lora_A")
        }
        adapted.unload().requires_grad_(True)
        assert list(found) == list(theirs)
        assert all(torch.equal(found[part][0], down) for part, down in theirs.items())


def test_a_target_that_is_no_layer_is_named(engine_of: Callable[[str], TorchEngine]) -> None:
    """A lora_target that no linear layer's name ends with stops before training, with the nearest that does."""
    with pytest.raises(AmuroError, match=r"'q_prj'.*did you mean 'q_proj'"):
        engine_of("llama").tune(training_pairs(), adapter(lora_targets=("q_prj",)).model, 1e-2, _quiet)


def test_targets_learn_alone(engine_of: Callable[[str], TorchEngine]) -> None:
    """Only the layers that the recipe names are changed by its adapters."""
    engine = engine_of("llama")
    before = weights(engine)
    engine.tune(training_pairs(), adapter(lora_targets=("q_proj", "layers.1.mlp.up_proj")).model, 1e-2, _quiet)
    moved = {name for name, tensor in weights(engine).items() if not torch.equal(tensor, before[name])}
    assert moved == {
        "model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.mlp.up_proj.weight",
    }  # fmt: skip
