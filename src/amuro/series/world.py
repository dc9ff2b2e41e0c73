"""Checkpoints of the embedded world, which amuro pre-trains (`engine/pretraining/`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Checkpoint
from amuro.series import _pretrained
from amuro.series._pretrain_world import PretrainConfig
from amuro.series.base import SeriesKind


def pretraining(options: Mapping[str, Any]) -> PretrainConfig:
    """Returns the configuration in a study's table. Raises StudyError on an unknown key or a bad value."""
    return PretrainConfig.from_options({key: value for key, value in options.items() if key != "kind"})


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """Returns one checkpoint per step of the configuration, whether or not it exists already."""
    return _pretrained.checkpoints(name, pretraining(options))


SERIES = SeriesKind(
    "world",
    "a small decoder pre-trained on the embedded world",
    checkpoints,
    _pretrained.locate,
    at_hand=_pretrained.at_hand,
    pretraining=pretraining,
)
