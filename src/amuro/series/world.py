"""Checkpoints of the embedded world, made by `engine.pretrain` before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Checkpoint
from amuro.series import _pretrained
from amuro.series._pretrain_world import PretrainConfig
from amuro.series.base import SeriesKind


def pretraining(options: Mapping[str, Any]) -> PretrainConfig:
    """The pre-training that a study's table declares. Raises StudyError on an unknown key or a bad value."""
    return PretrainConfig.from_options({key: value for key, value in options.items() if key != "kind"})


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """One checkpoint for each step of the declared pre-training, whether made already or not."""
    return _pretrained.checkpoints(name, pretraining(options))


SERIES = SeriesKind(
    "world",
    "a small decoder pre-trained on the embedded world",
    checkpoints,
    _pretrained.locate,
    at_hand=_pretrained.at_hand,
    pretraining=pretraining,
)
