"""Checkpoints of a small decoder that amuro pre-trains from scratch on text from files.

The table of a study; what is not stated has the defaults of `series/_pretrain_text.py`, as have size, rates and rows:

    [series.mine]
    kind = "text"
    source = "file:corpus"              # holds train.jsonl (or .csv, .parquet) whose rows have a field `text`
    corpus_split = "train"              # any file name of that folder, or `all` for a single file
    corpus_sha256 = "9f86d0…"           # refuses a corpus that has changed
    corpus_tokens = 3_400_000           # of one pass, so that repeated tokens are counted apart from new ones
    pretrain_seed = 1
    steps = [0, 100, 300, 1000, 3000]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Checkpoint
from amuro.series import _pretrained
from amuro.series._pretrain_text import TextConfig
from amuro.series.base import SeriesKind


def pretraining(options: Mapping[str, Any]) -> TextConfig:
    """Returns the configuration in a study's table, on the corpus as it is now or as the table pins it.

    Raises StudyError on an unknown key or a bad value, DataError if an unpinned corpus cannot be read.
    """
    return TextConfig.from_options({key: value for key, value in options.items() if key != "kind"}).pinned()


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """Returns one checkpoint per step of the configuration, whether or not it exists already."""
    return _pretrained.checkpoints(name, pretraining(options))


SERIES = SeriesKind(
    "text",
    "a small decoder pre-trained on text from files",
    checkpoints,
    _pretrained.locate,
    at_hand=_pretrained.at_hand,
    pretraining=pretraining,
)
