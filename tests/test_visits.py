"""What a live process keeps from one model job to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import save_byte_olmo

from amuro.core.errors import AmuroError
from amuro.engine.torch import TorchEngine
from amuro.prompts.tokenizer import Encoder
from amuro.run.worker import Worker
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.store import Store


def plan_of(folder: Path, seeds: tuple[int, int]) -> planning.Plan:
    """Two checkpoints, asked one small set."""
    for step, seed in enumerate(seeds, start=1):
        save_byte_olmo(folder / "made" / f"step{step}", seed)
    return planning.make(
        studies.parse(
            {
                "name": "two", "world_seed": 1, "dev_limit": 10,
                "series": {"made": {"kind": "folder", "path": str(folder / "made")}},
                "evaluate": [{"models": ["base"], "sets": ["world_inference/test"], "limit": 6}],
            }
        )
    )  # fmt: skip


def test_a_twin_is_refused_by_every_job(tmp_path: Path) -> None:
    """A checkpoint with the weights of another is no more live at the second model job than at the first."""
    plan = plan_of(tmp_path, (1, 1))
    worker = Worker(plan, Store(tmp_path / "store"), TorchEngine("float32", "cpu", 1), lambda _event: None)
    (first, first_cells), (twin, twin_cells) = plan.cells_by_model().items()
    worker.run_model(first, first_cells)
    for _ in range(2):
        with pytest.raises(AmuroError, match="weights"):
            worker.run_model(twin, twin_cells)


def test_ids_and_layouts_are_made_once_a_tokenizer(tmp_path: Path, monkeypatch: Any) -> None:
    """The second checkpoint of a tokenizer is asked with the ids and the batches that were made for the first."""
    plan = plan_of(tmp_path, (1, 2))
    engine = TorchEngine("float32", "cpu", 1)
    worker = Worker(plan, Store(tmp_path / "store"), engine, lambda _event: None)
    encoded: list[int] = []
    encode = Encoder.prompts
    monkeypatch.setattr(Encoder, "prompts", lambda self, texts: encoded.append(len(texts)) or encode(self, texts))
    counts = []
    for model, cells in plan.cells_by_model().items():
        worker.run_model(model, cells)
        counts.append((len(encoded), len(engine._batch_cache._kept)))
    assert len(counts) == 2
    assert counts[0][0] > 0
    assert counts[0] == counts[1]
