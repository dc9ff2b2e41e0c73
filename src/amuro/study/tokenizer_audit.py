"""Tokenizers that cannot be read, and files that disagree about what stands before a text and what ends one."""

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
    """What is wrong with the tokenizers of checkpoints at hand. Equal files are read once, and told once."""
    alike: dict[str, list[Checkpoint]] = {}
    for checkpoint, folder in folders.items():
        alike.setdefault(_digest(folder, tokenizer_folder(checkpoint)), []).append(checkpoint)
    for own in alike.values():
        try:
            remarks = Encoder.from_folder(folders[own[0]], tokenizer_folder(own[0])).remarks
        except WeightsError as error:
            yield from (_refused(error, folders[own[0]], folders[one], one) for one in own)
        else:
            yield from (_doubtful(remark, own, len(folders)) for remark in remarks)


def _refused(error: WeightsError, read: Path, folder: Path, checkpoint: Checkpoint) -> AuditIssue:
    return AuditIssue(NAME, "refused", error.message.replace(str(read), str(folder)), error.cure, checkpoint.address)


def _doubtful(remark: str, own: Sequence[Checkpoint], of: int) -> AuditIssue:
    """Of the whole series without an address, else of the first of some."""
    where = "" if len(own) == of else f"{place(own[0])}{f' and {len(own) - 1} more' if len(own) > 1 else ''}: "
    return AuditIssue(NAME, "doubtful", f"{where}{remark}", CURE, own[0].address if where else "")


def _digest(folder: Path, words: Path | None) -> str:
    return digest({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in small_files(folder, words)})
