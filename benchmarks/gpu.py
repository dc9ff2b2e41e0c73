"""The same code on a GPU: first whether it is right there, then how fast, beside lm_eval, Trainer and `generate`.

    python benchmarks/gpu.py [--stages rates,families,scoring,tuning,generation,profile] [--seconds 500] [--tiny]

Nothing is downloaded: a model of OLMo-1B's shape is made on the device, random weights and random words as in
`material.py`. Wall seconds between two synchronisations, one pass to warm up, the median of the passes after it. Every
job stands alone: one that fails is shown with its traceback and the next begins; after `--seconds` the rest is skipped
by name. All figures are written to gpu.json (in $OUT where that is set) after every job.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForCausalLM, OlmoConfig, PreTrainedTokenizerFast

import generation
import material
import peers
import scoring
import tuning
from amuro.engine.attention import NAME
from amuro.engine.network import KNOWN, Network
from amuro.engine.protocol import Sequences
from amuro.engine.torch_engine import TorchEngine
from amuro.types import Ask, Checkpoint, Model

Facts = dict[str, Any]
Jobs = Iterable[tuple[str, Callable[[], Facts]]]
Sums = list[tuple[float, ...]]

THREADS = 1
"""Of operations on the CPU: more wait for each other on small models, and have nothing to do beside a GPU."""
WARM = 16
"""Optimiser steps before the clock starts: enough for amuro to have recorded the shapes that come often."""
CHECKED = 64
"""Documents whose bfloat16 sums are held against float32."""
CHECKED_WHOLE = 8
"""Documents whose float32 sums are held against lm_eval's."""
NEAR = {"scores": 1e-4, "losses": 1e-4}
"""Nats that float32 may differ by between devices and programs."""
KERNELS = 12
"""Kernels that are named in a profile."""


class Skipped(Exception):  # noqa: N818 - it is no error
    """Why a job was not done."""


@dataclass(frozen=True)
class Scale:
    """How much is measured, and where."""

    device: str
    shape: Mapping[str, int]
    matmul: int
    scored: Mapping[str, tuple[int, int, int]]
    """Kind of question → documents a pass of amuro, of lm_eval, and of lm_eval while its batch size is chosen."""
    tuned: Mapping[str, int]
    """Kind of training text → steps that are timed."""
    spoken: tuple[str, ...]
    """Kinds of prompts."""
    prompts: int
    new_tokens: int
    batches: tuple[int, ...]
    """What the peers may choose from."""
    passes: int
    families: tuple[str, ...]
    few: int
    """Documents, prompts and tuned steps of a family."""


KINDS = {
    "labels": material.LABELS,
    "options": material.OPTIONS,
    "long endings": material.ENDINGS,
    "long context": material.LONG,
}
FULL = Scale(
    device="cuda",
    shape={
        "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 16, "intermediate_size": 8192,
        "vocab_size": 50304,
    },
    matmul=8192,
    scored={
        "labels": (1000, 512, 512), "options": (1000, 128, 64), "long endings": (500, 96, 64),
        "long context": (200, 48, 64),
    },
    tuned={"MNLI-like": 60, "XSum-like": 24},
    spoken=("short prompts", "long prompts"),
    prompts=256,
    new_tokens=generation.NEW_TOKENS,
    batches=(8, 32, 128, 256),
    passes=3,
    families=tuple(sorted(KNOWN)),
    few=12,
)  # fmt: skip
TINY = Scale(
    device="cpu",
    shape={
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
        "vocab_size": material.VOCABULARY,
    },
    matmul=128,
    scored={"labels": (8, 4, 4), "options": (6, 2, 2)},
    tuned={"MNLI-like": 1},
    spoken=("short prompts",),
    prompts=4,
    new_tokens=4,
    batches=(1, 4),
    passes=1,
    families=("llama",),
    few=2,
)  # fmt: skip


@dataclass
class Bench:
    """The scale, what was found, and what several jobs need."""

    scale: Scale
    place: Path
    ends: float
    """When no further job begins."""
    found: dict[str, dict[str, Facts]] = field(default_factory=dict)

    @property
    def device(self) -> str:
        return self.scale.device

    @cached_property
    def rate(self) -> float:
        """Floating-point operations a second of a large bfloat16 matrix product."""
        return matmul_rate(torch.bfloat16, self.scale.matmul, self.device)

    @cached_property
    def model(self) -> Any:
        """OLMo-1B's shape in float32, which amuro's attention reads."""
        model = built(self.scale, torch.float32)
        model.set_attn_implementation(NAME)
        return model

    @cached_property
    def start(self) -> dict[str, Tensor]:
        """The weights before any tuning."""
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    @cached_property
    def half(self) -> Any:
        """The same weights in bfloat16 under transformers' own attention, as a peer's user loads them."""
        model = built(self.scale, torch.bfloat16)
        model.load_state_dict(self.start)
        return model

    @cached_property
    def tokenizer(self) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            material.write_tokenizer(Path(folder))
            return PreTrainedTokenizerFast.from_pretrained(folder)

    @cached_property
    def engines(self) -> dict[str, TorchEngine]:
        """The one model in amuro, by precision."""
        return {precision: self._engine(precision) for precision in ("float32", "bfloat16")}

    def _engine(self, precision: str) -> TorchEngine:
        engine = TorchEngine(precision, self.device, THREADS)
        engine._network = Network(self.model, precision, torch.device(self.device))
        return engine

    def reset(self) -> None:
        self.model.load_state_dict(self.start)

    def do(self, stage: str, jobs: Jobs) -> None:
        """Every job of a stage; none can stop the others."""
        found = self.found.setdefault(stage, {})
        began = time.perf_counter()
        for name, work in jobs:
            found[name] = facts = self._done(work)
            told = facts.get("failed") or f"skipped: {facts['skipped']}" if "skipped" in facts else in_words(facts)
            print(f"{stage} · {name}: {told}", flush=True)
            self.place.write_text(json.dumps(self.found, indent=1))
            tidy()
        short = {name: {k: v for k, v in facts.items() if k != "kernels"} for name, facts in found.items()}
        took = round(time.perf_counter() - began, 1)
        print(json.dumps({"stage": stage, "seconds": took, **short}, separators=(",", ":")), flush=True)

    def _done(self, work: Callable[[], Facts]) -> Facts:
        if time.perf_counter() > self.ends:
            return {"skipped": "no time is left"}
        try:
            return work()
        except Skipped as reason:
            return {"skipped": str(reason)}
        except Exception as error:
            traceback.print_exc(file=sys.stdout)
            return {"failed": f"{type(error).__name__}: {str(error).strip()[:200]}"}


def in_words(facts: Facts) -> str:
    """Figures of four digits; a kernel a line."""
    parts = [f"{name} {_figure(value)}" for name, value in facts.items() if name != "kernels"]
    return ", ".join(parts) + "".join(f"\n    {line}" for line in facts.get("kernels", ()))


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def tidy() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def needs(module: str) -> None:
    """Raises Skipped where a peer is not installed."""
    if importlib.util.find_spec(module) is None:
        raise Skipped(f"{module} is not here")


def built(scale: Scale, dtype: torch.dtype) -> Any:
    """A model of random weights, made on its device."""
    sizes = {"max_position_embeddings": material.CONTEXT, "tie_word_embeddings": True}
    none = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    torch.manual_seed(1)
    with torch.device(scale.device):
        return AutoModelForCausalLM.from_config(OlmoConfig(**scale.shape, **sizes, **none), dtype=dtype).eval()


# -- the clock


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def once(work: Callable[[], object], device: str) -> float:
    """Wall seconds of one pass."""
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def timed(bench: Bench, work: Callable[[], object], warm: bool = False) -> tuple[float, Facts]:
    """(median seconds of a pass, figures); one pass before them warms up, unless that has been done."""
    if not warm:
        once(work, bench.device)
    taken = [once(work, bench.device) for _ in range(bench.scale.passes)]
    median = statistics.median(taken)
    return median, {"seconds": median, "spread": (max(taken) - min(taken)) / median}


def best_batch(bench: Bench, batches: Sequence[int], work: Callable[[int], object]) -> tuple[int, Facts]:
    """The batch size whose pass takes least time; one that does not fit into memory is left out."""
    seconds = {batch: _if_it_fits(partial(work, batch), bench.device) for batch in batches}
    best = min(batches, key=lambda batch: seconds[batch])
    if math.isinf(seconds[best]):
        raise Skipped("no batch size fits into memory")
    return best, {"batch": best, "tried": {batch: round(taken, 3) for batch, taken in seconds.items()}}


def _if_it_fits(work: Callable[[], object], device: str) -> float:
    try:
        return once(work, device)
    except torch.OutOfMemoryError:
        return math.inf
    finally:
        tidy()


# -- what the machine gives


def rates(bench: Bench) -> Jobs:
    yield "device", partial(_device, bench)
    yield "bfloat16 matmul", lambda: {"tflops": bench.rate / 1e12}
    yield "float32 matmul", lambda: {"tflops": matmul_rate(torch.float32, bench.scale.matmul, bench.device) / 1e12}
    yield "copy", lambda: {"read_and_written_gb_s": _copy_rate(bench) / 1e9}


def _device(bench: Bench) -> Facts:
    names = ("torch", "transformers", "accelerate", "peft", "numpy", "lm_eval")
    versions = {name: version(name) for name in names if importlib.util.find_spec(name)}
    told: Facts = {"python": platform.python_version(), **versions}
    if bench.device == "cpu":
        return {"name": platform.processor() or platform.machine(), **told}
    card = torch.cuda.get_device_properties(0)
    tf32 = {
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "float32_precision": torch.get_float32_matmul_precision(),
        "tf32_override": os.environ.get("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
    }
    return {"name": card.name, "gib": round(card.total_memory / 2**30, 1), "cuda": torch.version.cuda, **told, **tf32}


def matmul_rate(dtype: torch.dtype, size: int, device: str) -> float:
    """Floating-point operations a second of a square product of random matrices."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(left)
    taken = _device_seconds(lambda: torch.mm(left, right, out=out), device)
    return 2.0 * size**3 / taken


def _copy_rate(bench: Bench) -> float:
    """Bytes a second; twice the buffer, which is read and written."""
    source = torch.randn(1 << (30 if bench.device != "cpu" else 20), device=bench.device)
    goal = torch.empty_like(source)
    return 2.0 * source.nbytes / _device_seconds(lambda: goal.copy_(source), bench.device)


def _device_seconds(work: Callable[[], object], device: str, passes: int = 15) -> float:
    """Median by events on the device."""
    for _ in range(3):
        work()
    if device == "cpu":
        return statistics.median(once(work, device) for _ in range(passes))
    marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(passes)]
    for begin, end in marks:
        begin.record()
        work()
        end.record()
    wait(device)
    return statistics.median(begin.elapsed_time(end) for begin, end in marks) / 1e3


# -- is it right there: amuro on the device, on the CPU, and transformers alone


SMALL = {
    "vocab_size": material.VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 512, "initializer_range": 0.1, "bos_token_id": None,
    "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip


def families(bench: Bench) -> Jobs:
    for name in bench.scale.families:
        try:
            family = Family(bench, name)
        except Exception as error:
            yield name, partial(_raise, error)
            continue
        yield f"{name} scores", family.scores
        yield f"{name} bf16 scores", family.half_scores
        yield f"{name} texts", family.texts
        yield f"{name} losses", partial(family.losses, "full")
        yield f"{name} LoRA losses", partial(family.losses, "lora")
    yield "llama beside Trainer", partial(_beside_trainer, bench)


def _raise(error: Exception) -> Facts:
    raise error


class Family:
    """A small random model of one known type, in all the ways that must agree."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._device, self._few = bench.device, bench.scale.few
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            torch.manual_seed(3)
            grouped = {} if name in ("gpt_neox", "olmo") else {"num_key_value_heads": 2}
            config = AutoConfig.for_model(name, **SMALL, **grouped)
            AutoModelForCausalLM.from_config(config).save_pretrained(folder)
            self._here = _loaded(folder, "float32", bench.device)
            self._half = _loaded(folder, "bfloat16", bench.device)
            self._cpu = _loaded(folder, "float32", "cpu")
            self._plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(bench.device).eval()
        few = material.Lengths(37, 13, 5, 3)
        branches = material.synthetic_ask("branches", few, self._few, "float32")
        labels = material.synthetic_ask("labels", replace(few, option=1), self._few, "float32")
        self._asks = {"branches": branches, "labels": labels, "no prefix": replace(branches, prefix=())}
        self._asks["labels, no prefix"] = replace(labels, prefix=())

    def scores(self) -> Facts:
        """float32, all kinds of question: against the CPU and against a plain reading."""
        gaps = {"cpu": 0.0, "plain": 0.0}
        for ask in self._asks.values():
            ours = self._here.score(ask)
            gaps["cpu"] = max(gaps["cpu"], scoring.distance(ours, self._cpu.score(ask))[0])
            gaps["plain"] = max(gaps["plain"], scoring.distance(ours, self._plain_sums(ask, False))[0])
        return _judged(gaps, NEAR["scores"])

    def half_scores(self) -> Facts:
        """bfloat16: no farther from float32 than transformers under autocast, taken over all kinds of question."""
        ours: Sums = []
        theirs: Sums = []
        exact: Sums = []
        for ask in self._asks.values():
            ours += self._half.score(ask)
            theirs += self._plain_sums(ask, True)
            exact += self._cpu.score(ask)
        (most, rms), (their_most, their_rms) = (scoring.distance(sums, exact) for sums in (ours, theirs))
        return {"max": most, "their_max": their_most, "rms": rms, "their_rms": their_rms, "ok": rms <= 1.2 * their_rms}

    def texts(self) -> Facts:
        """Greedy, with and without prefix, cut at a stop string: rows end at different steps."""
        few = material.Lengths(37, 13, 1, 0)
        ask = material.synthetic_ask("texts", few, self._few, "float32", 2 * self._few)
        other = {"cpu": 0, "plain": 0}
        for asked in (replace(ask, stop=("7",)), replace(ask, stop=(), prefix=())):
            ours, cpu = ([said.text for said in e.generate(asked, spelled)] for e in (self._here, self._cpu))
            plain = self._plain_texts(asked)
            other["cpu"] += sum(a != b for a, b in zip(ours, cpu, strict=True))
            other["plain"] += sum(a != b for a, b in zip(ours, plain, strict=True))
        half = self._half.generate(ask, spelled)
        return {f"other_than_{name}": count for name, count in other.items()} | {
            "half_tokens": sum(said.tokens for said in half), "ok": not any(other.values()),
        }  # fmt: skip

    def losses(self, method: str) -> Facts:
        """The curve of a tuning against the CPU; in bfloat16 only how far it is."""
        model = with_method(method)
        sequences = material.training("MNLI-like", 8 * self._few)
        here, half, cpu = (
            engine.tune(sequences, model, 1e-3, lambda *_: None).losses
            for engine in (self._here, self._half, self._cpu)
        )
        gap = tuning.distance(here, cpu)[0]
        return _judged({"cpu": gap}, NEAR["losses"]) | {"bf16": tuning.distance(half, cpu)[0], "steps": len(here)}

    def _plain_sums(self, ask: Ask, half: bool) -> Sums:
        """Every option read alone, whole."""
        with torch.no_grad(), torch.autocast(self._device, torch.bfloat16, enabled=half):
            return [
                tuple(self._plain_sum([*ask.prefix, *query.context], option) for option in query.options)
                for query in ask.queries
            ]

    def _plain_sum(self, prompt: list[int], option: Sequence[int]) -> float:
        ids = torch.tensor([[*prompt, *option]], device=self._device)
        logits = self._plain(ids).logits[0, -len(option) - 1 : -1].float()
        return float(logits.log_softmax(-1).gather(1, ids[0, -len(option) :, None]).double().sum())

    def _plain_texts(self, ask: Ask) -> list[str]:
        texts = []
        for query in ask.queries:
            ids = torch.tensor([[*ask.prefix, *query.context]], device=self._device)
            said = generated(self._plain, ids, torch.ones_like(ids), ask.max_new_tokens)[0]
            text = spelled(said)
            texts.append(text[: min([text.index(stop) for stop in ask.stop if stop in text], default=len(text))])
        return texts


def _loaded(folder: Path, precision: str, device: str) -> TorchEngine:
    engine = TorchEngine(precision, device, THREADS)
    engine.load(Checkpoint("benchmark", 1, None, None, "constant", "file:benchmark"), folder)
    return engine


def _judged(gaps: Mapping[str, float], bound: float) -> Facts:
    """NaN is never near."""
    return {**gaps, "bound": bound, "ok": all(gap <= bound for gap in gaps.values())}


def with_method(method: str) -> Model:
    """A tuning at 8 examples a step."""
    model = material.tuned("benchmark")
    assert model.recipe is not None
    return replace(model, recipe=replace(model.recipe, method=method))


def spelled(ids: Sequence[int]) -> str:
    """A decoder that costs nothing."""
    return " ".join(map(str, ids))


def generated(model: Any, ids: Tensor, mask: Tensor, new_tokens: int) -> list[list[int]]:
    """Greedy, by transformers' `generate`."""
    with torch.no_grad():
        whole = model.generate(
            ids, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False, pad_token_id=0, use_cache=True
        )
    rows: list[list[int]] = whole[:, ids.shape[1] :].tolist()
    return rows


def _beside_trainer(bench: Bench) -> Facts:
    """float32 losses of amuro and Trainer, both on the device, from the same weights."""
    needs("accelerate")
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(3)
        config = AutoConfig.for_model("llama", **SMALL)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        engine = _loaded(Path(folder), "float32", bench.device)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    sequences = material.training("MNLI-like", 8 * bench.scale.few)
    ours = engine.tune(tuning.in_step_order(sequences), with_method("full"), 1e-3, lambda *_: None).losses
    theirs = _trainer(bench, model, sequences, 1e-3, "float32", logging_strategy="steps").losses
    return _judged({"max": tuning.distance(ours, theirs)[0]}, NEAR["losses"]) | {"steps": len(ours)}


# -- scoring


def scored(bench: Bench) -> Jobs:
    for kind in bench.scale.scored:
        yield f"{kind}, amuro", partial(_score_ours, bench, kind)
        yield f"{kind}, lm_eval", partial(_score_theirs, bench, kind)
        yield f"{kind}, distance", partial(_score_distance, bench, kind)


def _ask(bench: Bench, kind: str) -> Ask:
    return material.synthetic_ask(kind, KINDS[kind], max(bench.scale.scored[kind]), "bfloat16")


def _first(ask: Ask, count: int) -> Ask:
    return replace(ask, queries=ask.queries[:count])


def _score_ours(bench: Bench, kind: str) -> Facts:
    engine, ask = bench.engines["bfloat16"], _first(_ask(bench, kind), bench.scale.scored[kind][0])
    flops = material.needed_flops(ask, bench.model, engine.flops_per_token())
    seconds, facts = timed(bench, lambda: engine.score(ask))
    return {
        "documents_s": len(ask.queries) / seconds,
        "unique_tokens_s": material.unique_tokens(ask) / seconds,
        "of_matmul": flops / seconds / bench.rate,
        **facts,
    }


def _score_theirs(bench: Bench, kind: str) -> Facts:
    """lm_eval's bfloat16 model at its best batch size, which may be any that fits."""
    needs("lm_eval")
    peers.quiet()
    lm, ask, (rows, part, chosen) = peers.around(bench.half, bench.tokenizer, 8), _ask(bench, kind), _sizes(bench, kind)

    def reads(count: int, batch: int) -> None:
        lm.batch_size_per_gpu = batch
        lm_sums(lm, _first(ask, count))

    reads(8, 8)  # warms up
    batch, tried = best_batch(bench, bench.scale.batches, partial(reads, chosen))
    seconds, facts = timed(bench, lambda: reads(part, batch), warm=True)
    lengths = material.document_tokens(_first(ask, rows))
    documents = sum(lengths[:part]) / float(np.mean(lengths))
    ours = bench.found["scoring"][f"{kind}, amuro"].get("documents_s", math.nan)
    return {"documents_s": documents / seconds, "amuro_times": ours * seconds / documents, **tried, **facts}


def _sizes(bench: Bench, kind: str) -> tuple[int, int, int]:
    return bench.scale.scored[kind]


def lm_sums(lm: Any, ask: Ask) -> Sums:
    """Every option after its whole prompt, as `scoring.Theirs`."""
    sent = [(("", ""), [*ask.prefix, *q.context], list(option)) for q in ask.queries for option in q.options]
    got = iter(lm._loglikelihood_tokens(sent, disable_tqdm=True))
    return [tuple(next(got)[0] for _ in query.options) for query in ask.queries]


def _score_distance(bench: Bench, kind: str) -> Facts:
    """float32 against lm_eval's; bfloat16 on both sides against float32."""
    needs("lm_eval")
    bench.reset()
    ask, few = _first(_ask(bench, kind), CHECKED), _first(_ask(bench, kind), CHECKED_WHOLE)
    exact = bench.engines["float32"].score(ask)
    whole = lm_sums(peers.around(bench.model, bench.tokenizer, 8), few)
    most, rms = scoring.distance(bench.engines["bfloat16"].score(ask), exact)
    their_most, their_rms = scoring.distance(lm_sums(peers.around(bench.half, bench.tokenizer, 8), ask), exact)
    return {
        "float32_max": scoring.distance(exact[: len(whole)], whole)[0],
        "max": most, "their_max": their_most, "rms": rms, "their_rms": their_rms,
        "ok": most <= their_most and rms <= their_rms,
    }  # fmt: skip


# -- tuning


@dataclass
class Wall(peers.Clock):
    """Wall time; waits for the device where the timed steps begin and end."""

    device: str = "cpu"
    steps: int = 0

    def tick(self, loss: float) -> None:
        if len(self.ends) + 1 in (WARM, self.steps):
            wait(self.device)
        self.ends.append(time.perf_counter())
        self.losses.append(loss)

    @property
    def seconds(self) -> float:
        """A step."""
        return (self.ends[-1] - self.ends[WARM - 1]) / (self.steps - WARM)


def tuned(bench: Bench) -> Jobs:
    for kind in bench.scale.tuned:
        yield f"{kind}, amuro", partial(_tune, bench, kind, _amuro_clock)
        yield f"{kind}, Trainer", partial(_tune, bench, kind, _trainer_clock)
        yield f"{kind}, amuro LoRA", partial(_tune, bench, kind, _lora_clock)
        yield f"{kind}, distance", partial(_tune_distance, bench, kind)


def _training(bench: Bench, kind: str) -> Sequences:
    return material.training(kind, 8 * (WARM + bench.scale.tuned[kind]))


def _tune(bench: Bench, kind: str, run: Callable[[Bench, Sequences], Wall]) -> Facts:
    """Tokens count without padding on both sides."""
    sequences = _training(bench, kind)
    read, steps = sequences[8 * WARM :], bench.scale.tuned[kind]
    tokens = sum(len(part) for dialogue in read for part in dialogue) / steps
    flops = 3 * tuning.forward_flops(read, bench.model.config, bench.engines["bfloat16"].flops_per_token()) / steps
    taken = []
    for _ in range(bench.scale.passes):
        taken.append(run(bench, sequences).seconds)
        tidy()
    seconds = statistics.median(taken)
    facts = {
        "step_ms": 1e3 * seconds, "tokens_s": tokens / seconds, "of_matmul": flops / seconds / bench.rate,
        "tokens_a_step": tokens, "spread": (max(taken) - min(taken)) / seconds,
    }  # fmt: skip
    ours = bench.found["tuning"].get(f"{kind}, amuro", {}).get("step_ms")
    return facts | ({"amuro_times": facts["step_ms"] / ours} if ours else {})


def _amuro_clock(bench: Bench, sequences: Sequences, method: str = "full", precision: str = "bfloat16") -> Wall:
    """From the weights that are there: time does not depend on them."""
    clock = Wall(device=bench.device, steps=len(sequences) // 8)
    ordered = tuning.in_step_order(sequences)
    bench.engines[precision].tune(ordered, with_method(method), tuning.RATE, lambda _done, _all, loss: clock.tick(loss))
    return clock


def _lora_clock(bench: Bench, sequences: Sequences) -> Wall:
    needs("peft")
    return _amuro_clock(bench, sequences, "lora")


def _trainer_clock(bench: Bench, sequences: Sequences, **arguments: Any) -> Wall:
    """float32 weights under autocast, as amuro's; accelerate wraps a model for good, so each pass has its own."""
    needs("accelerate")
    model = built(bench.scale, torch.float32)
    model.load_state_dict(bench.start)
    return _trainer(bench, model, sequences, tuning.RATE, "bfloat16", **arguments)


def _trainer(bench: Bench, model: Any, sequences: Sequences, rate: float, precision: str, **arguments: Any) -> Wall:
    clock = Wall(device=bench.device, steps=len(sequences) // 8)
    recipe = with_method("full").recipe
    assert recipe is not None
    on_cpu = bench.device == "cpu"
    places = {"use_cpu": on_cpu, "dataloader_pin_memory": not on_cpu}
    peers.quiet()
    peers.train(model, sequences, recipe, rate, precision == "bfloat16", clock, **places, **arguments)
    return clock


def _tune_distance(bench: Bench, kind: str) -> Facts:
    """First losses from the same weights: bfloat16 on both sides against amuro in float32."""
    sequences = material.training(kind, 8 * (WARM + 2))

    def ours(precision: str) -> list[float]:
        bench.reset()
        losses = _amuro_clock(bench, sequences, precision=precision).losses
        tidy()
        return losses

    exact, half = ours("float32"), ours("bfloat16")
    bench.reset()
    theirs = _trainer_clock(bench, sequences, logging_strategy="steps").losses
    (most, rms), (their_most, their_rms) = (tuning.distance(losses, exact) for losses in (half, theirs))
    return {"max": most, "their_max": their_most, "rms": rms, "their_rms": their_rms, "steps": len(exact)}


# -- greedy generation


PROMPTS = {"short prompts": generation.SHORT, "long prompts": generation.LONG}


def spoken(bench: Bench) -> Jobs:
    for kind in bench.scale.spoken:
        yield f"{kind}, amuro", partial(_speak_ours, bench, kind)
        yield f"{kind}, generate", partial(_speak_theirs, bench, kind)
        yield f"{kind}, equality", partial(_speak_equality, bench, kind)


def _prompts(bench: Bench, kind: str) -> Ask:
    scale = bench.scale
    ask = material.synthetic_ask(kind, PROMPTS[kind], scale.prompts, "bfloat16", scale.new_tokens)
    return replace(ask, stop=())


def _speak_ours(bench: Bench, kind: str) -> Facts:
    engine, ask = bench.engines["bfloat16"], _prompts(bench, kind)
    longest = replace(ask, queries=tuple(replace(q, options=((0,) * ask.max_new_tokens,)) for q in ask.queries))
    flops = material.needed_flops(longest, bench.model, engine.flops_per_token())
    seconds, facts = timed(bench, lambda: engine.generate(ask, spelled))
    rows = len(ask.queries) / seconds
    return {"rows_s": rows, "tokens_s": rows * ask.max_new_tokens, "of_matmul": flops / seconds / bench.rate, **facts}


def _speak_theirs(bench: Bench, kind: str) -> Facts:
    """The `generate` of transformers on bfloat16 weights, padded on the left, rows of like length together."""
    ask, batches = _prompts(bench, kind), bench.scale.batches[1:]
    their_texts(bench.half, _first(ask, 8), 8)  # warms up
    batch, tried = best_batch(bench, batches, partial(their_texts, bench.half, ask))
    seconds, facts = timed(bench, lambda: their_texts(bench.half, ask, batch), warm=True)
    ours = bench.found["generation"][f"{kind}, amuro"].get("rows_s", math.nan)
    rows = len(ask.queries) / seconds
    return {"rows_s": rows, "amuro_times": ours / rows, **tried, **facts}


def their_texts(model: Any, ask: Ask, batch: int) -> list[str]:
    texts = [""] * len(ask.queries)
    order = sorted(range(len(texts)), key=lambda index: -len(ask.queries[index].context))
    for begin in range(0, len(order), batch):
        chosen = order[begin : begin + batch]
        rows = [[*ask.prefix, *ask.queries[index].context] for index in chosen]
        longest = max(map(len, rows))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows], device=model.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=model.device)
        for index, said in zip(chosen, generated(model, ids, mask, ask.max_new_tokens), strict=True):
            texts[index] = spelled(said)
    return texts


def _speak_equality(bench: Bench, kind: str) -> Facts:
    """float32: how many of a few texts are identical."""
    bench.reset()
    ask = _first(_prompts(bench, kind), 16)
    ours = [said.text for said in bench.engines["float32"].generate(ask, spelled)]
    theirs = their_texts(bench.model, ask, 16)
    return {"identical": sum(a == b for a, b in zip(ours, theirs, strict=True)), "of": len(ours)}


# -- where the time goes


def profiled(bench: Bench) -> Jobs:
    yield "warm-up", partial(_profile_nothing, bench)
    for kind in ("labels", "options"):
        yield f"scoring {kind}", partial(_profile_scoring, bench, kind)
    yield "tuning MNLI-like", partial(_profile_tuning, bench)
    yield "generation", partial(_profile_generation, bench)


@contextmanager
def _profile(bench: Bench, facts: Facts) -> Iterator[None]:
    """Fills `facts` when what is inside has run."""
    on_cpu = bench.device == "cpu"
    activities = [ProfilerActivity.CPU] if on_cpu else [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    wait(bench.device)
    with profile(activities=activities) as seen:
        began = time.perf_counter()
        yield
        wait(bench.device)
        wall = time.perf_counter() - began
    facts |= {"wall_ms": 1e3 * wall, **_kernels(seen, DeviceType.CPU if on_cpu else DeviceType.CUDA, wall)}


def _kernels(seen: Any, kind: DeviceType, wall: float) -> Facts:
    """Busy share of the device and its largest kernels; on a CPU the operations, which hold each other."""
    marked = ("Optimizer.", "ProfilerStep")  # spans that the profiler draws over kernels
    spans = [
        (event.time_range.start, event.time_range.end, str(event.name))
        for event in seen.events()
        if event.device_type == kind and not str(event.name).startswith(marked)
    ]
    total: dict[str, list[float]] = defaultdict(list)
    busy, reached = 0.0, -math.inf
    for begin, end, name in sorted(spans):
        total[name].append(end - begin)
        busy += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    largest = sorted(total.items(), key=lambda item: -sum(item[1]))[:KERNELS]
    lines = [f"{sum(times) / 1e3:9.3f} ms {len(times):6d} × {name[:90]}" for name, times in largest]
    return {"busy": busy / 1e6 / wall, "launched": len(spans), "kernels": lines}


def _profile_nothing(bench: Bench) -> Facts:
    """The first profile of a process pays for the profiler."""
    facts: Facts = {}
    with _profile(bench, facts):
        torch.ones(8, device=bench.device).sum()
    return {"wall_ms": facts["wall_ms"]}


def _profile_scoring(bench: Bench, kind: str) -> Facts:
    engine, ask, facts = bench.engines["bfloat16"], _first(_ask(bench, kind), bench.scale.scored[kind][0]), Facts()
    engine.score(ask)
    with _profile(bench, facts):
        engine.score(ask)
    return facts


def _profile_tuning(bench: Bench) -> Facts:
    """Two steps in the middle of a tuning."""
    facts = Facts()
    span = _profile(bench, facts)

    def on_step(done: int, _all: int, _loss: float) -> None:
        if done == WARM:
            span.__enter__()
        if done == WARM + 2:
            span.__exit__(None, None, None)

    bench.engines["bfloat16"].tune(
        material.training("MNLI-like", 8 * (WARM + 2)), with_method("full"), tuning.RATE, on_step
    )
    return facts


def _profile_generation(bench: Bench) -> Facts:
    """A few words of every row: the prompts' reading and some steps."""
    ask = replace(_prompts(bench, "short prompts"), max_new_tokens=min(8, bench.scale.new_tokens))
    engine, facts = bench.engines["bfloat16"], Facts()
    engine.generate(ask, spelled)
    with _profile(bench, facts):
        engine.generate(ask, spelled)
    return facts


STAGES: Mapping[str, Callable[[Bench], Jobs]] = {
    "rates": rates,
    "families": families,
    "scoring": scored,
    "tuning": tuned,
    "generation": spoken,
    "profile": profiled,
}


def main(words: Sequence[str] | None = None) -> int:
    """0 where no job failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", default=",".join(STAGES), help="which, in this order")
    parser.add_argument("--seconds", type=float, default=520, help="no job begins later")
    parser.add_argument("--tiny", action="store_true", help="tiny models on the CPU: does the program run at all?")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")) / "gpu.json")
    wish = parser.parse_args(words)
    unknown = set(wish.stages.split(",")) - set(STAGES)
    if unknown:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    scale = TINY if wish.tiny else FULL
    if scale.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --tiny runs without one")
    torch.set_num_threads(THREADS)
    peers.quiet()
    bench = Bench(scale, wish.out, time.perf_counter() + wish.seconds)
    for stage in wish.stages.split(","):
        bench.do(stage, STAGES[stage](bench))
    failed = [f"{stage} · {name}" for stage, found in bench.found.items() for name in found if "failed" in found[name]]
    wrong = [f"{s} · {n}" for s, found in bench.found.items() for n in found if found[n].get("ok") is False]
    print(f"failed: {'; '.join(failed) or 'none'}\nnot equal: {'; '.join(wrong) or 'none'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
