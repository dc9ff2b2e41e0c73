"""Shared by all tests: studies small enough to run in a second, and a store that goes away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.plan import Plan
from amuro.study.store import Store

settings.register_profile("amuro", deadline=None)  # a busy machine is no failure
settings.load_profile("amuro")


def toy_table(**changes: Any) -> dict[str, Any]:
    """A study of three toy checkpoints, one recipe with a replicated seed, and two sets."""
    table: dict[str, Any] = {
        "name": "toy",
        "engine": "toy",
        "world_seed": 3,
        "dev_limit": 20,
        "series": {"toy": {"kind": "toy", "steps": [0, 1000, 10000]}},
        "tune": [
            {
                "name": "inference", "tasks": ["world_inference"], "rows": 32, "epochs": 1, "learning_rate": 1e-3,
                "tune_seeds": [0], "replicate_seeds": [1], "replicate_seeds_at": [10000],
                "in_domain": ["world_inference/test"], "out_of_domain": ["world_inference/test_ood"],
            }
        ],
        "evaluate": [
            {"models": ["base", "tuned"], "sets": ["world_inference/test", "world_summary/test"], "limit": 20},
            {"models": ["base", "tuned"], "sets": ["world_inference/test"], "shots": [2], "limit": 20},
            {"models": ["base", "tuned"], "sets": ["world_corpus/test"], "limit": 20},
        ],
    }  # fmt: skip
    return {**table, **changes}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoint folders of tiny random models, one an architecture (`tiny_models`, imported where it is needed)."""
    from tiny_models import save_models

    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def engine_of(folders: dict[str, Path]) -> Callable[[str], Any]:
    """Engines by architecture, handed out at their own weights."""
    from tiny_models import Engines

    return Engines(folders)


@pytest.fixture
def engine(engine_of: Callable[[str], Any]) -> Any:
    """The architecture of the embedded world."""
    return engine_of("olmo2")


@pytest.fixture
def toy_plan() -> Plan:
    return planning.make(studies.parse(toy_table()))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
