"""Checkpoints that amuro pre-trains itself: their facts and their folders."""

from __future__ import annotations

from pathlib import Path

from amuro.core import disk
from amuro.core.types import Checkpoint
from amuro.series._pretrain_config import Pretraining
from amuro.series.base import in_order


def checkpoints(name: str, declared: Pretraining) -> tuple[Checkpoint, ...]:
    """Returns one checkpoint per step of the configuration, whether or not it exists already."""
    identity = declared.digest()
    return in_order(
        name,
        (
            Checkpoint(
                name,
                step,
                declared.tokens_at(step),
                declared.unique_tokens_at(step),
                declared.schedule_at(step),
                source=declared.KIND,
                identity=identity,
                parameters=declared.parameters(),
            )
            for step in declared.steps
        ),
    )


def folder(identity: str, cache: Path) -> Path:
    """Returns the folder in which the pre-training of this identity keeps checkpoints and state."""
    return cache / identity[:16]


def locate(checkpoint: Checkpoint, cache: Path) -> Path:
    """Returns the folder of a checkpoint; it exists once pre-training has reached the step."""
    return folder(checkpoint.identity, cache) / f"step-{checkpoint.step:08d}"


def at_hand(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """Returns the folder of a checkpoint if it exists."""
    path = locate(checkpoint, cache)
    return path if path.is_dir() else None


def is_whole(checkpoint: Checkpoint, folder: Path) -> bool:
    """Whether a folder has exactly the files that pre-training wrote for this checkpoint. Reads all of them."""
    return disk.whole(folder, identity=checkpoint.identity, step=checkpoint.step) is not None
