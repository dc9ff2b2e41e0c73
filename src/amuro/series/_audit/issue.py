"""What an audit of a series finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from amuro.core.types import Checkpoint

Level = Literal["refused", "doubtful", "note"]
"""*refused*: a run leaves the checkpoint out. *doubtful*: it is studied, and the fault is named. *note*: no fault of
the checkpoints that were chosen."""


@dataclass(frozen=True, slots=True)
class AuditIssue:
    """One thing that is wrong with a series, or with one checkpoint of it."""

    name: str
    """known bad · equal weights · transplanted shard · config drift · tokenizer drift · tokenizer · vocabulary ·
    unreadable · gap · missing steps · left out · not finite · other tensors · norm outlier ·
    direction outlier."""
    level: Level
    detail: str
    cure: str = ""
    checkpoint: str = ""
    """Address of the checkpoint; empty where the whole series is meant."""
    issue: str = ""
    """A public report."""

    def __str__(self) -> str:
        source = f" ({self.issue})" if self.issue else ""
        return f"{self.detail}{source}; {self.cure}" if self.cure else f"{self.detail}{source}"


def found(faults: Sequence[AuditIssue]) -> bool:
    """Whether anything is wrong: any fault but a note."""
    return any(fault.level != "note" for fault in faults)


def place(checkpoint: Checkpoint) -> str:
    """A checkpoint in words: its repository and revision, or its folder."""
    repository = checkpoint.source.partition(":")[2]
    revision = (checkpoint.revision or "").partition("@")[0]
    return f"{repository}@{revision}" if revision else repository or checkpoint.address
