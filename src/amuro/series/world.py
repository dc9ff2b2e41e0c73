"""Checkpoints of the embedded world, made by `engine.pretrain` before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amuro.series_kind import SeriesKind, in_order
from amuro.types import Checkpoint
from amuro.world.config import PretrainConfig


def config(options: Mapping[str, Any]) -> PretrainConfig:
    """The pre-training that a study's table declares. Raises StudyError on an unknown key or a bad value."""
    return PretrainConfig.from_options({key: value for key, value in options.items() if key != "kind"})


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """One checkpoint for each step of the declared pre-training, whether made already or not."""
    declared = config(options)
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
                source="world",
                identity=identity,
            )
            for step in declared.steps
        ),
    )


def folder(identity: str, cache: Path) -> Path:
    """Where the pre-training of that identity keeps its checkpoints and its state."""
    return cache / identity[:16]


def locate(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """The folder of a checkpoint; it exists once pre-training has come that far."""
    return folder(checkpoint.identity, cache) / f"step-{checkpoint.step:08d}"


def at_hand(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """The same folder, if pre-training has come that far."""
    found = locate(checkpoint, cache)
    return found if found and found.is_dir() else None


SERIES = SeriesKind("world", "a small decoder pre-trained on the embedded world", checkpoints, locate, at_hand=at_hand)
