"""Checkpoints that a declared pre-training makes here: what they count, and where they lie."""

from __future__ import annotations

from pathlib import Path

from amuro.core import disk
from amuro.core.types import Checkpoint
from amuro.series._pretrain_config import Pretraining
from amuro.series.base import in_order


def checkpoints(name: str, declared: Pretraining) -> tuple[Checkpoint, ...]:
    """One checkpoint for each step of the declared pre-training, whether made already or not."""
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
    """Where the pre-training of that identity keeps its checkpoints and its state."""
    return cache / identity[:16]


def locate(checkpoint: Checkpoint, cache: Path) -> Path:
    """The folder of a checkpoint; it exists once pre-training has come that far."""
    return folder(checkpoint.identity, cache) / f"step-{checkpoint.step:08d}"


def at_hand(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """The same folder, if pre-training has come that far."""
    found = locate(checkpoint, cache)
    return found if found.is_dir() else None


def is_whole(checkpoint: Checkpoint, folder: Path) -> bool:
    """Whether a folder is that checkpoint as pre-training wrote it. Reads all of it."""
    return disk.whole(folder, identity=checkpoint.identity, step=checkpoint.step) is not None
