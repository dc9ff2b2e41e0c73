"""Is it right there: small random models of every known type, by amuro on the device and on the CPU, and by peers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import material
import peers
import scoring
import tuning
from amuro.core.requests import RequestBatch
from amuro.core.types import Checkpoint
from amuro.engine.torch import TorchEngine
from gpu.bench import THREADS, Bench, Jobs
from gpu.clock import Facts
from gpu.equal import apart, near
from gpu.spoken import spelled, their_texts
from gpu.tuned import by_trainer, with_method
from scoring import Sums

SMALL = {
    "vocab_size": material.VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 512, "initializer_range": 0.1, "bos_token_id": None,
    "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
RATE = 1e-3


def families(bench: Bench) -> Jobs:
    """The model of a type is made by its first job, and again by the next where that failed."""
    for name in bench.scale.families:
        family = cache(partial(Family, bench, name))
        for check, judge in CHECKS.items():
            yield f"{name} {check}", partial(_judged, family, judge)
    yield "llama beside Trainer", partial(_judged, partial(Family, bench, "llama"), Family.beside_trainer)


def _judged(family: Callable[[], Family], judge: Callable[[Family], Facts]) -> Facts:
    return judge(family())


class Family:
    """A small random model of one type, in all the ways that must agree."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._bench, self._few = bench, bench.scale.few
        grouped = {} if name in ("gpt_neox", "olmo") else {"num_key_value_heads": 2}
        torch.manual_seed(3)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **SMALL, **grouped)).save_pretrained(folder)
            self._here = _loaded(folder, "float32", bench.device)
            self._half = _loaded(folder, "bfloat16", bench.device)
            self._cpu = _loaded(folder, "float32", "cpu")
            self._plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(bench.device).eval()

    def _asks(self) -> Sequence[RequestBatch]:
        """Options of several tokens and labels of one, with and without a shared prefix."""
        lengths = material.Lengths(37, 13, 5, 3)
        kinds = [lengths, replace(lengths, option=1)]
        batches = [material.synthetic_ask("few", kind, self._few, "float32") for kind in kinds]
        return batches + [replace(request_batch, prefix=()) for request_batch in batches]

    def scores(self) -> Facts:
        """float32: against the CPU and against a plain reading."""
        ours, cpu = (_sums(engine, self._asks()) for engine in (self._here, self._cpu))
        plain = self._plain_sums(half=False)
        return near(cpu=scoring.distance(ours, cpu)[0], plain=scoring.distance(ours, plain)[0])

    def half_scores(self) -> Facts:
        """bfloat16: about as near to float32 as transformers under autocast, or nearer."""
        ours, exact = (_sums(engine, self._asks()) for engine in (self._half, self._cpu))
        found = apart(ours, self._plain_sums(half=True), exact)
        return {**found, "ok": found["rms"] <= 1.2 * found["their_rms"]}  # so few sums differ by chance

    def texts(self) -> Facts:
        """Greedy, with and without prefix, cut at a stop string: rows end at different steps."""
        request_batch = material.synthetic_ask(
            "few", material.Lengths(37, 13, 1, 0), self._few, "float32", 2 * self._few
        )
        other = {"other_than_cpu": 0, "other_than_plain": 0}
        for asked in (replace(request_batch, stop=("7",)), replace(request_batch, stop=(), prefix=())):
            ours, cpu = ([said.text for said in e.generate(asked, spelled)] for e in (self._here, self._cpu))
            plain = [_cut(text, asked.stop) for text in their_texts(self._plain, asked, 1)]
            other["other_than_cpu"] += sum(a != b for a, b in zip(ours, cpu, strict=True))
            other["other_than_plain"] += sum(a != b for a, b in zip(ours, plain, strict=True))
        half = sum(said.tokens for said in self._half.generate(request_batch, spelled))
        return {**other, "half_tokens": half, "ok": not any(other.values())}

    def losses(self, method: str) -> Facts:
        """The curve of a tuning against the CPU; in bfloat16 only how far it is."""
        sequences, model = material.training("MNLI-like", 8 * self._few), with_method(method)
        engines = (self._here, self._half, self._cpu)
        here, half, cpu = (engine.tune(sequences, model, RATE, lambda *_: None).losses for engine in engines)
        gaps = near(cpu=tuning.distance(here, cpu)[0])
        return {**gaps, "bf16": tuning.distance(half, cpu)[0], "steps": len(here)}

    def beside_trainer(self) -> Facts:
        """float32 losses of amuro and Trainer, both on the device; tunes the plain model, so it comes last."""
        sequences = material.training("MNLI-like", 8 * self._few)
        ordered = tuning.in_step_order(sequences)
        ours = self._here.tune(ordered, with_method("full"), RATE, lambda *_: None).losses
        theirs = by_trainer(self._bench, self._plain, sequences, RATE, False, logging_strategy="steps").losses
        return {**near(max=tuning.distance(ours, theirs)[0]), "steps": len(ours)}

    def _plain_sums(self, half: bool) -> Sums:
        """Every option read alone, whole."""
        with torch.autocast(self._bench.device, torch.bfloat16, enabled=half):
            return [sums for request_batch in self._asks() for sums in peers.sums_alone(self._plain, request_batch)]


CHECKS: dict[str, Callable[[Family], Facts]] = {
    "scores": Family.scores,
    "bf16 scores": Family.half_scores,
    "texts": Family.texts,
    "losses": partial(Family.losses, method="full"),
    "LoRA losses": partial(Family.losses, method="lora"),
}


def _loaded(folder: Path, precision: str, device: str) -> TorchEngine:
    engine = TorchEngine(precision, device, THREADS)
    engine.load(Checkpoint("benchmark", 1, None, None, "constant", "file:benchmark"), folder)
    return engine


def _sums(engine: TorchEngine, batches: Sequence[RequestBatch]) -> Sums:
    return [sums for request_batch in batches for sums in engine.score(request_batch)]


def _cut(text: str, stops: Sequence[str]) -> str:
    return text[: min([text.index(stop) for stop in stops if stop in text], default=len(text))]
