"""What the device is and gives: the products of large matrices."""

from __future__ import annotations

import importlib.util
import platform
import time
from functools import partial
from importlib.metadata import version

import torch

from gpu.bench import Bench, Jobs
from gpu.clock import Facts, matmul_rate

PACKAGES = ("torch", "transformers", "accelerate", "peft", "numpy", "lm_eval")


def rates(bench: Bench) -> Jobs:
    device, size = bench.device, bench.scale.matmul
    yield "device", partial(_device, device)
    yield "bfloat16 matmul", lambda: {"tflops": bench.rate / 1e12}
    yield "float32 matmul", lambda: {"tflops": matmul_rate(torch.float32, size, device) / 1e12}


def _device(device: str) -> Facts:
    told: Facts = {"date": time.strftime("%F"), "python": platform.python_version()}
    told |= {name: version(name) for name in PACKAGES if importlib.util.find_spec(name)}
    if device == "cpu":
        return {"name": platform.processor() or platform.machine(), **told}
    card = torch.cuda.get_device_properties(0)
    told["tf32_matmul"] = torch.backends.cuda.matmul.allow_tf32  # would round what float32 is compared with
    return {"name": card.name, "gib": round(card.total_memory / 2**30, 1), "cuda": torch.version.cuda, **told}
