"""What all stages share: the model in its precisions, and a way to do jobs of which none can stop the others."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, OlmoConfig

import material
from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.packed_attention import NAME
from amuro.engine.torch import TorchEngine
from gpu.clock import Facts, matmul_rate, tidy
from gpu.scale import Scale

Jobs = Iterable[tuple[str, Callable[[], Facts]]]

THREADS = 1
"""Of operations on the CPU: more wait for each other on small models, and have nothing to do beside a GPU."""


@dataclass
class Bench:
    """The scale, what was found (stage → job → figures), and what several jobs need."""

    scale: Scale
    place: Path
    ends: float
    """When no further job begins, on `time.perf_counter`."""
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
        """In float32, which amuro's attention reads."""
        model = self.built()
        model.set_attn_implementation(NAME)
        return model

    @cached_property
    def half(self) -> Any:
        """The same weights in bfloat16 under transformers' own attention, as a peer's user loads them."""
        model = self.built(torch.bfloat16)
        model.load_state_dict(self.built().state_dict())
        return model

    @cached_property
    def engines(self) -> dict[str, TorchEngine]:
        """The one model in amuro, by precision. No checkpoint is loaded: a tuning goes on from what is there."""
        found = {precision: TorchEngine(precision, self.device, THREADS) for precision in ("float32", "bfloat16")}
        for precision, engine in found.items():
            engine._network = Network(self.model, precision, torch.device(self.device))
        return found

    def reset(self) -> None:
        """The weights before any tuning."""
        self.model.load_state_dict(self.built().state_dict())

    def built(self, dtype: torch.dtype = torch.float32) -> Any:
        """The model, made on its device; in one precision its random weights are always the same."""
        size = self.scale.hidden_size
        config = OlmoConfig(
            hidden_size=size, num_hidden_layers=self.scale.layers, num_attention_heads=max(2, size // 128),
            intermediate_size=4 * size, vocab_size=self.scale.vocabulary, max_position_embeddings=material.CONTEXT,
            tie_word_embeddings=True, bos_token_id=None, eos_token_id=None, pad_token_id=None,
        )  # fmt: skip
        torch.manual_seed(1)
        with torch.device(self.device):
            return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()

    def do(self, stage: str, jobs: Jobs) -> None:
        """Every job of a stage; what it found is kept and shown before the next begins."""
        found = self.found.setdefault(stage, {})
        for name, work in jobs:
            found[name] = self._done(work)
            print(f"{stage} · {name}: {in_words(found[name])}", flush=True)
            self.place.write_text(json.dumps(self.found, indent=1), encoding="utf-8")
            tidy()

    def _done(self, work: Callable[[], Facts]) -> Facts:
        if time.perf_counter() > self.ends:
            return {"skipped": "no time is left"}
        try:
            return work()
        except ImportError as error:  # a peer that is not installed
            return {"skipped": str(error).strip()[:200]}
        except Exception as error:
            traceback.print_exc(file=sys.stdout)
            return {"failed": f"{type(error).__name__}: {str(error).strip()[:200]}"}


def in_words(facts: Facts) -> str:
    """Figures of four digits; a kernel a line."""
    parts = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in facts.items() if k != "kernels"]
    return ", ".join(parts) + "".join(f"\n    {line}" for line in facts.get("kernels", ()))
