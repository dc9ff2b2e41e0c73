"""Audit of the tokenizers of checkpoints: tokenizers that cannot be loaded, and files that disagree about the tokens
that begin and end a text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from amuro.core.errors import WeightsError
from amuro.core.hashing import digest
from amuro.core.types import Checkpoint
from amuro.core.weights import small_files
from amuro.prompts.tokenizer import Encoder
from amuro.series._audit.issue import AuditIssue, place
from amuro.series.base import tokenizer_folder

NAME = "tokenizer"
CURE = "say the same in all of these files, as the model was trained"


def endings(folders: Mapping[Checkpoint, Path]) -> Iterator[AuditIssue]:
    """Yields the issues of the tokenizers of checkpoints on this machine. Equal tokenizers are loaded and reported
    once.
    """
    groups: dict[str, list[Checkpoint]] = {}
    for checkpoint, folder in folders.items():
        groups.setdefault(_digest(folder, tokenizer_folder(checkpoint)), []).append(checkpoint)
    for group in groups.values():
        try:
            remarks = Encoder.from_folder(folders[group[0]], tokenizer_folder(group[0])).remarks
        except WeightsError as error:
            yield from (_refused(error, folders[group[0]], folders[checkpoint], checkpoint) for checkpoint in group)
        else:
            yield from (_doubtful(remark, group, len(folders)) for remark in remarks)


def _refused(error: WeightsError, read: Path, folder: Path, checkpoint: Checkpoint) -> AuditIssue:
    """Returns the issue of a tokenizer that cannot be loaded, with the path of this checkpoint's own folder."""
    return AuditIssue(NAME, "refused", error.message.replace(str(read), str(folder)), error.cure, checkpoint.address)


def _doubtful(remark: str, group: Sequence[Checkpoint], of: int) -> AuditIssue:
    """Returns the issue of a tokenizer with a remark; without an address if all `of` checkpoints share it."""
    where = "" if len(group) == of else f"{place(group[0])}{f' and {len(group) - 1} more' if len(group) > 1 else ''}: "
    return AuditIssue(NAME, "doubtful", f"{where}{remark}", CURE, group[0].address if where else "")


def _digest(folder: Path, words: Path | None) -> str:
    """Returns a digest of the tokenizer files and the small files in a folder."""
    return digest({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in small_files(folder, words)})
