"""Pre-training of a checkpoint series: an OLMo 2 decoder, Hugging Face folders, bit-for-bit resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Olmo2Config, Olmo2ForCausalLM

from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.fused_norms import hasten_norms
from amuro.engine.forward.packed_attention import NAME, end_to_end
from amuro.engine.pretraining import resume as snapshots
from amuro.engine.pretraining.muon import Muon
from amuro.engine.pretraining.packing import Batch, Packer
from amuro.engine.pretraining.tokenizer import EOS, PAD, train_tokenizer
from amuro.series._pretrain_config import Corpus, Pretraining

STATE_EVERY = 100
"""Steps between two saved states; an interrupted run resumes from the latest one."""

Progress = Callable[[int, int, float], None]
"""Called with (steps done, last step, loss in nats per token) after each step."""


def pretrain(
    config: Pretraining,
    folder: Path,
    on_progress: Progress = lambda step, last, loss: None,
    should_stop: Callable[[], bool] = lambda: False,
    threads: int | None = None,
    set_aside: snapshots.SetAside = snapshots.put_aside,
) -> None:
    """Train every checkpoint of `config` that `folder` lacks, in rising order, as `folder/step-00000700/`.

    A checkpoint is complete or absent. A run that was killed, or stopped by `should_stop`, resumes from `folder/state`
    and gives the same weights bit for bit (same machine, same number of threads). A finished run returns at once.
    Checkpoints and states whose files have changed are passed to `set_aside` and trained again.

    should_stop: asked before each step. threads: CPU threads of torch; None leaves them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [step for step in config.steps if not snapshots.exists(folder, config.digest(), step, set_aside)]
    if not missing:
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        _PretrainingLoop.resume(config, folder, missing[0], set_aside).to_the_end(
            set(missing), on_progress, should_stop
        )
    finally:
        torch.set_num_threads(before)


def new_model(config: Pretraining, tokenizer: Tokenizer) -> Olmo2ForCausalLM:
    """The untrained decoder, initialised from `config.pretrain_seed`.

    Key projections are copies of the query projections, so that a token at first attends to tokens similar to itself.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.pretrain_seed)
        model = Olmo2ForCausalLM(_architecture(config, tokenizer))
    model.set_attn_implementation(NAME)
    hasten_norms(model)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.k_proj.weight.copy_(layer.self_attn.q_proj.weight)
    return model


@dataclass
class _PretrainingLoop:
    """A model in training with everything that its next step depends on."""

    config: Pretraining
    folder: Path
    corpus: Corpus
    tokenizer: Tokenizer
    model: Olmo2ForCausalLM
    optimizers: tuple[torch.optim.Optimizer, ...]
    packer: Packer
    step: int = 0

    @cached_property
    def network(self) -> Network:
        """The model for packed forward passes on the CPU."""
        return Network(self.model, "float32", torch.device("cpu"))

    @classmethod
    def resume(cls, config: Pretraining, folder: Path, before: int, set_aside: snapshots.SetAside) -> _PretrainingLoop:
        """Continue from the latest saved state at or before step `before`; without one, start from scratch."""
        corpus = config.corpus()
        tokenizer = train_tokenizer(corpus.sample(), config.vocab_size)
        model = new_model(config, tokenizer)
        packer = _packer(config, corpus, tokenizer, 0)
        loop = cls(config, folder, corpus, tokenizer, model, _optimizers(model, config), packer)
        saved = snapshots.latest_state(folder, config.digest(), before, set_aside)
        if saved:
            loop._restore(*saved)
        return loop

    def to_the_end(self, missing: set[int], on_progress: Progress, should_stop: Callable[[], bool]) -> None:
        """Train until the last missing step, or until `should_stop`; write missing checkpoints and states."""
        self.model.train()
        while True:
            if self.step in missing:
                self._publish()
            if self.step >= max(missing) or should_stop():
                break
            if self.step and self.step % STATE_EVERY == 0:
                self._save()
            loss = self._train_step(min(1.0, (self.step + 1) / max(1, self.config.warmup_steps)))
            on_progress(self.step, max(missing), loss)
        self._save()

    def _publish(self) -> None:
        """Write the checkpoint of this step.

        With `anneal_steps` its weights are those after a branch of that many steps with the learning rate falling
        linearly to 0; training then continues from the state before the branch.
        """
        step, branch = self.step, self.config.anneal_steps if self.step else 0
        trunk = self._state() if branch else None
        for done in range(branch):
            self._train_step(1 - (done + 1) / branch)
        snapshots.publish(self.folder, self.config.digest(), step, self.model, self.tokenizer)
        if trunk:
            facts, tensors = trunk
            self._restore(facts, tensors)

    def _train_step(self, share: float) -> float:
        """One optimiser step at `share` × the full learning rates; returns its loss in nats per token."""
        config = self.config
        if self.step in self.corpus.phases:
            self.packer = _packer(config, self.corpus, self.tokenizer, self.step)
        loss = _loss(self.network, self.packer.batch())
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.max_grad_norm)
        self.step += 1
        for optimizer, rate in zip(self.optimizers, (config.muon_rate, config.adam_rate), strict=True):
            optimizer.param_groups[0]["lr"] = rate * share
            optimizer.step()
            optimizer.zero_grad()
        return float(loss.detach())

    def _save(self) -> None:
        """Write the state that an interrupted run resumes from."""
        snapshots.save_state(self.folder, *self._state())

    def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """(facts, tensors): a copy of everything that the next step depends on."""
        tensors = {f"model.{name}": weight.detach().clone() for name, weight in self.model.named_parameters()}
        for name, weight, optimizer in self._owned():
            tensors |= {f"state.{name}.{key}": value.clone() for key, value in optimizer.state[weight].items()}
        return {"step": self.step, "digest": self.config.digest(), **self.packer.state}, tensors

    def _restore(self, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Set step, packer, weights and optimiser states to those of a `_state`."""
        self.step = facts["step"]
        self.packer = _packer(self.config, self.corpus, self.tokenizer, self.step)
        self.packer.restore(facts["waiting"], facts["next"])
        for name, weight, optimizer in self._owned():
            weight.data.copy_(tensors[f"model.{name}"])
            prefix = f"state.{name}."
            optimizer.state[weight] = {
                key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
            }

    def _owned(self) -> Iterator[tuple[str, Tensor, torch.optim.Optimizer]]:
        """(name, weight, the optimiser that updates it) of every parameter."""
        names = {id(weight): name for name, weight in self.model.named_parameters()}
        for optimizer in self.optimizers:
            for weight in optimizer.param_groups[0]["params"]:
                yield names[id(weight)], weight, optimizer


def _architecture(config: Pretraining, tokenizer: Tokenizer) -> Olmo2Config:
    """The transformers config of the decoder."""
    return Olmo2Config(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.max_length,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(EOS),
        eos_token_id=tokenizer.token_to_id(EOS),
        pad_token_id=tokenizer.token_to_id(PAD),
    )


def _optimizers(model: Olmo2ForCausalLM, config: Pretraining) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the hidden matrices, AdamW for the embedding and the norms."""
    hidden = {name for name, weight in model.named_parameters() if weight.dim() == 2 and "embed" not in name}
    matrices = [weight for name, weight in model.named_parameters() if name in hidden]
    others = [weight for name, weight in model.named_parameters() if name not in hidden]
    adam = torch.optim.AdamW(others, lr=config.adam_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    return Muon(matrices, lr=config.muon_rate), adam


def _packer(config: Pretraining, corpus: Corpus, tokenizer: Tokenizer, step: int) -> Packer:
    """A packer at the first document of the phase that contains `step`."""
    eos = tokenizer.token_to_id(EOS)
    assert eos is not None  # it is among the trainer's special tokens
    return Packer(corpus.stream(step, tokenizer), tokenizer, eos, config.rows, config.row_length)


def _loss(network: Network, batch: Batch) -> Tensor:
    """Mean cross-entropy over the targets in nats per token. Documents run packed, without the rows' padding."""
    is_token = batch.documents > 0
    rows = np.arange(len(is_token))[:, None]  # documents are numbered from 1 in each row, so the row is part of the id
    document = (batch.documents + rows * (is_token.shape[1] + 1))[is_token]
    begins = np.flatnonzero(np.diff(document, prepend=-1))
    lengths = np.diff(begins, append=len(document))
    positions = np.broadcast_to(np.arange(is_token.shape[1]), is_token.shape)[is_token]
    hidden = network.read(batch.ids[is_token], positions, end_to_end(lengths, network.device))
    return F.cross_entropy(network.logits(hidden), torch.from_numpy(batch.targets[is_token]))
