"""The engine with weights tunes as a padded training loop of transformers does."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CHECKPOINT, CONTEXT, EOS, SHARING, plain, training_pairs, tuned, words
from torch.nn.functional import cross_entropy
from transformers import get_linear_schedule_with_warmup, get_scheduler

from amuro.core.errors import AmuroError
from amuro.core.types import Model
from amuro.engine.torch import TorchEngine
from amuro.engine.training import cuda_graphs
from amuro.engine.training import finetune as finetuning
from amuro.engine.training.optimizer import rate_factor


def reference_losses(model: Any, pairs: list[Any], described: Model, learning_rate: float) -> list[float]:
    """A padded batch, all logits, labels of -100 outside the answer, unfused AdamW, transformers' schedule."""
    recipe = described.recipe
    assert recipe is not None
    order = finetuning.step_order(len(pairs), recipe.batch_size, recipe.epochs, described.tune_seed or 0)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=learning_rate,
    )
    warmup = math.ceil(recipe.warmup_ratio * len(order))
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, len(order))
    losses = []
    for members in order:
        loss = _padded_loss(model, [pairs[i] for i in members], recipe.weighting)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def _padded_loss(model: Any, batch: list[Any], weighting: str) -> torch.Tensor:
    longest = max(sum(map(len, dialogue)) for dialogue in batch)
    ids, mask, labels = (torch.full((len(batch), longest), fill) for fill in (0, 0, -100))
    for row, dialogue in enumerate(batch):
        at = 0
        for turn, part in enumerate(dialogue):
            ids[row, at : at + len(part)] = torch.tensor(part)
            if turn % 2:
                labels[row, at : at + len(part)] = torch.tensor(part)
            at += len(part)
        mask[row, :at] = 1
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    nats = cross_entropy(logits.transpose(1, 2), labels[:, 1:], reduction="none")
    if weighting == "token":
        return nats.sum() / (labels[:, 1:] != -100).sum()
    return (nats.sum(1) / (labels[:, 1:] != -100).sum(1)).mean()


@pytest.mark.parametrize("weighting", ["token", "example"])
@pytest.mark.parametrize("name", ["llama", "olmo2", "gpt_neox", "gemma2"])
def test_loss_curve_equals_a_plain_loop(
    name: str, weighting: Any, folders: dict[str, Path], engine_of: Callable[[str], TorchEngine]
) -> None:
    """Head on answers only, no padding mask and fused AdamW change no loss of the whole curve."""
    described = tuned(weighting=weighting, weight_decay=0.1, warmup_ratio=0.2)
    training = engine_of(name).tune(training_pairs(), described, 3e-3, lambda *_: None)
    engine_of(name).reset()
    wanted = reference_losses(plain(folders[name]), training_pairs(), described, 3e-3)
    assert training.losses == pytest.approx(wanted, abs=1e-5)
    assert (training.steps, training.diverged_at) == (10, None)


@pytest.mark.parametrize("weighting", ["token", "example"])
def test_every_answer_of_a_dialogue_is_learned(
    weighting: Any, folders: dict[str, Path], engine_of: Callable[[str], TorchEngine]
) -> None:
    """Dialogues of several turns among single questions give the loss curve of labels on every answer."""
    rng, pairs = np.random.default_rng(12), training_pairs()
    dialogues = [(*pair, words(rng, 2, 6), (*words(rng, 1, 4), EOS)) if i % 3 else pair for i, pair in enumerate(pairs)]
    training = engine_of("olmo2").tune(dialogues, tuned(weighting=weighting), 3e-3, lambda *_: None)
    wanted = reference_losses(plain(folders["olmo2"]), dialogues, tuned(weighting=weighting), 3e-3)
    assert training.losses == pytest.approx(wanted, abs=1e-5)
    assert training.answer_tokens == 2 * sum(len(answer) for dialogue in dialogues for answer in dialogue[1::2])


def test_weightings_differ(engine: TorchEngine) -> None:
    """Answers of unequal length weigh differently by token and by example, so the choice cannot be ignored."""
    curves = [
        engine.tune(training_pairs(), tuned(weighting=w), 3e-3, lambda *_: None).losses for w in ("token", "example")
    ]
    assert abs(curves[0][0] - curves[1][0]) > 1e-3


def test_tuning_does_not_depend_on_micro_batches(engine: TorchEngine) -> None:
    """One sequence a forward pass gives the losses and weights of a whole step a pass."""
    found = []
    for budget in (1, 10_000):
        engine.reset()
        network = engine._live()
        losses = finetuning.finetune(network, training_pairs(), tuned(), 3e-3, lambda *_: None, budget).losses
        found.append((losses, [p.detach().clone() for p in network.model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    assert max(float((a - b).abs().max()) for a, b in zip(found[0][1], found[1][1], strict=True)) < 1e-4


def test_forgetful_layers_change_nothing(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is short, layers compute their states again, and the losses stay the same."""
    wanted = engine.tune(training_pairs(), tuned(), 3e-3, lambda *_: None).losses
    network, again = engine._live(), []
    monkeypatch.setattr(type(network), "free_memory", lambda _: 1)
    network.model.model.layers[0].register_forward_hook(lambda layer, *_: again.append(layer.gradient_checkpointing))
    assert engine.tune(training_pairs(), tuned(), 3e-3, lambda *_: None).losses == pytest.approx(wanted, abs=1e-5)
    assert all(again)
    assert not network.model.model.layers[0].gradient_checkpointing
    network.model.model.layers[0]._forward_hooks.clear()


@pytest.mark.parametrize("name", SHARING)
def test_padding_to_a_recorded_shape_changes_nothing(name: str, engine_of: Callable[[str], TorchEngine]) -> None:
    """A step padded to a shape that CUDA graphs share, with fewer rows than others, has its own loss and gradient."""
    network, step = engine_of(name)._live(), training_pairs()[:3]
    parameters = list(network.model.parameters())
    weights = finetuning.answer_weights(step, step, "example")
    arrays = cuda_graphs.padded(finetuning.pass_of(step, weights), rows=5, longest=40)
    assert len(arrays["ids"]) > sum(len(part) for dialogue in step for part in dialogue)
    assert arrays["gather"].shape[0] == 6
    found = []
    for backward in (
        lambda: finetuning._backward(network, step, "example", 10_000),
        lambda: cuda_graphs.backward(network, {key: torch.from_numpy(value) for key, value in arrays.items()}),
    ):
        network.model.zero_grad()
        found.append((float(backward()), [p.grad.clone() for p in parameters if p.grad is not None]))
    network.model.zero_grad()
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    assert len(found[0][1]) == len(found[1][1])
    assert max(float((a - b).abs().max()) for a, b in zip(found[0][1], found[1][1], strict=True)) < 1e-4


def test_seed_decides_the_weights_and_reset_restores_them(engine: TorchEngine) -> None:
    """Same seed, same bits, whatever was tuned in between; reset brings back the checkpoint's own."""
    own = engine.weights_digest()
    digests = []
    for seed in (1, 2, 1):
        engine.tune(training_pairs(), tuned(tune_seed=seed), 3e-3, lambda *_: None)
        digests.append(engine.weights_digest())
    assert digests[0] == digests[2]
    assert len({own, *digests}) == 3
    engine.reset()
    assert engine.weights_digest() == own


def test_adapters_train_merge_and_leave(engine: TorchEngine) -> None:
    """LoRA lowers the loss, leaves an ordinary model of the same tensors, and norms and embeddings as they were."""
    own = {name: p.detach().clone() for name, p in engine._live().model.named_parameters()}
    described = tuned(method="lora", epochs=8)
    first = engine.tune(training_pairs(), described, 2e-2, lambda *_: None)
    digest = engine.weights_digest()
    live = dict(engine._live().model.named_parameters())
    changed = {name for name in own if not torch.equal(own[name], live[name])}
    assert first.losses[-1] < first.losses[0] - 0.5
    assert list(live) == list(own)
    assert changed == {n for n in own if n.endswith(("_proj.weight",))}
    assert all(p.requires_grad for p in live.values())
    assert engine.tune(training_pairs(), described, 2e-2, lambda *_: None).losses == first.losses
    assert engine.weights_digest() == digest
    engine.reset()
    assert all(torch.equal(own[name], p) for name, p in engine._live().model.named_parameters())


def test_steps_and_tokens_are_counted(engine: TorchEngine) -> None:
    """Progress is told after each step, and tokens count prompts and answers of all epochs without padding."""
    told: list[tuple[int, int, float]] = []
    pairs = training_pairs(10)
    training = engine.tune(pairs, tuned(epochs=3), 1e-3, lambda *step: told.append(step))
    assert told == [(i + 1, 9, loss) for i, loss in enumerate(training.losses)]
    assert training.answer_tokens == 3 * sum(len(a) for _, a in pairs)
    assert training.tokens == 3 * sum(len(p) + len(a) for p, a in pairs)


def test_diverging_tuning_stops_and_says_where(engine: TorchEngine) -> None:
    """At an absurd rate training ends at the first non-finite step, with the finite losses that were applied."""
    training = engine.tune(training_pairs(), tuned(epochs=4, warmup_ratio=0.0), 1e30, lambda *_: None)
    assert training.diverged_at == training.steps == len(training.losses) < 20
    assert all(map(math.isfinite, training.losses))


def test_a_step_that_is_not_finite_is_not_applied(engine: TorchEngine) -> None:
    """With one infinite weight the very first step diverges, and no weight is touched."""
    network = engine._live()
    with torch.no_grad():
        network.model.model.layers[0].mlp.up_proj.weight[0, 0] = float("inf")
    before = engine.weights_digest()
    training = finetuning.finetune(network, training_pairs(), tuned(), 1e-3, lambda *_: None)
    assert (training.diverged_at, training.losses, training.tokens) == (0, (), 0)
    assert engine.weights_digest() == before


def test_a_sequence_beyond_the_context_is_refused(engine_of: Callable[[str], TorchEngine]) -> None:
    """An engine cuts nothing: what comes to it was cut before, where it is known what stands before a text."""
    pairs = [((2,) * CONTEXT, (8,))]
    with pytest.raises(AmuroError, match=f"{CONTEXT + 1} tokens, the model reads {CONTEXT}"):
        engine_of("olmo2").tune(pairs, tuned(), 1e-3, lambda *_: None)


@pytest.mark.parametrize(
    "pairs",
    [[], [((), (3, EOS))], [((3,), ())]],
    ids=["nothing", "empty prompt", "empty answer"],
)
def test_what_cannot_be_learned_is_refused(engine: TorchEngine, pairs: list[Any]) -> None:
    """No rows or an empty side stop before the first step."""
    with pytest.raises(AmuroError):
        engine.tune(pairs, tuned(), 1e-3, lambda *_: pytest.fail("a step was taken"))


def test_a_base_cannot_be_tuned(engine: TorchEngine) -> None:
    """A model without a recipe is refused by name."""
    with pytest.raises(AmuroError, match="tiny@1 has no recipe"):
        engine.tune(training_pairs(), Model(CHECKPOINT), 1e-3, lambda *_: None)


@given(steps=st.integers(1, 400), ratio=st.floats(0, 0.5), schedule=st.sampled_from(["linear", "constant"]))
@settings(max_examples=40, deadline=None)
def test_schedule_is_that_of_transformers(steps: int, ratio: float, schedule: Any) -> None:
    """The rate of every step equals transformers' schedule of the same name with the same warm-up."""
    recipe = tuned(warmup_ratio=ratio, schedule=schedule).recipe
    assert recipe is not None
    warmup = math.ceil(ratio * steps)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = get_scheduler(f"{schedule}_with_warmup".replace("linear_with_warmup", "linear"), optimizer, warmup, steps)
    for step in range(steps):
        assert rate_factor(step, steps, recipe) == pytest.approx(theirs.lr_lambdas[0](step))


@given(st.integers(1, 60), st.integers(1, 16), st.integers(1, 4), st.integers(0, 2**31))
def test_each_epoch_reads_every_sequence_once(sequences: int, batch_size: int, epochs: int, seed: int) -> None:
    """Steps cover all sequences once an epoch, in full batches but for the last one of an epoch."""
    order = finetuning.step_order(sequences, batch_size, epochs, seed)
    per_epoch = math.ceil(sequences / batch_size)
    assert len(order) == epochs * per_epoch
    for epoch in range(epochs):
        steps = order[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(i for step in steps for i in step) == list(range(sequences))
        assert all(len(step) == batch_size for step in steps[:-1])
