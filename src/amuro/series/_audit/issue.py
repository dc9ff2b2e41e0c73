"""The issues that audits of series report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from amuro.core.types import Checkpoint

Level = Literal["refused", "doubtful", "note"]
"""*refused*: a run leaves the checkpoint out. *doubtful*: it is studied, and the issue is reported. *note*: nothing
is wrong with the chosen checkpoints.
"""


@dataclass(frozen=True, slots=True)
class AuditIssue:
    """One issue of a series, or of one of its checkpoints."""

    name: str
    """known bad · equal weights · copied shard · config drift · tokenizer drift · tokenizer · vocabulary ·
    unreadable · gap · missing steps · left out · not finite · other tensors · norm outlier ·
    direction outlier."""
    level: Level
    detail: str
    cure: str = ""
    checkpoint: str = ""
    """Address of the checkpoint; '' for the whole series."""
    issue: str = ""
    """URL of a public report."""

    def __str__(self) -> str:
        """Returns detail, source and cure as one sentence."""
        source = f" ({self.issue})" if self.issue else ""
        return f"{self.detail}{source}; {self.cure}" if self.cure else f"{self.detail}{source}"


def found(faults: Sequence[AuditIssue]) -> bool:
    """Whether there is any issue above the level of a note."""
    return any(fault.level != "note" for fault in faults)


def place(checkpoint: Checkpoint) -> str:
    """Returns a checkpoint in words: repository@revision, or its folder."""
    repository = checkpoint.source.partition(":")[2]
    revision = (checkpoint.revision or "").partition("@")[0]
    return f"{repository}@{revision}" if revision else repository or checkpoint.address
