"""Checkpoints of the embedded world, made by `engine.pretrain` before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro import pretrained
from amuro.series_kind import SeriesKind
from amuro.types import Checkpoint
from amuro.world.config import PretrainConfig


def pretraining(options: Mapping[str, Any]) -> PretrainConfig:
    """The pre-training that a study's table declares. Raises StudyError on an unknown key or a bad value."""
    return PretrainConfig.from_options({key: value for key, value in options.items() if key != "kind"})


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """One checkpoint for each step of the declared pre-training, whether made already or not."""
    return pretrained.checkpoints(name, pretraining(options))


SERIES = SeriesKind(
    "world",
    "a small decoder pre-trained on the embedded world",
    checkpoints,
    pretrained.locate,
    at_hand=pretrained.at_hand,
    pretraining=pretraining,
)
