"""amuro's side: its engine with a model of a folder, live in a process of one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from amuro.core.requests import RequestBatch
from amuro.core.types import Checkpoint
from amuro.engine.torch import TorchEngine


def loaded(folder: Path, precision: str) -> TorchEngine:
    engine = TorchEngine(precision, "cpu", 1)
    engine.load(Checkpoint("benchmark", 1, None, None, "constant", "file:benchmark"), folder)
    return engine


def live_model(engine: TorchEngine) -> Any:
    """The transformers model inside."""
    return engine._live().model


def needed_flops(engine: TorchEngine, request_batch: RequestBatch) -> float:
    import material

    return material.needed_flops(request_batch, live_model(engine), engine.flops_per_token())
