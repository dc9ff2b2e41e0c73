"""Whether transformers' AutoTokenizer encodes texts as amuro does for a checkpoint.

Some tokenizer classes replace normaliser, pre-tokeniser or template, ignoring tokenizer.json. amuro uses the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from amuro.core.hashing import digest, file_digest
from amuro.core.weights import TOKENIZER, small_files
from amuro.prompts.tokenizer import Encoder

PROBES = (
    "The mill is old.",
    " two  spaces\n\n\tand a line",
    "Zoë’s 1,234 plums; “no”, 世界 déjà",
    "def f(x):\n    return x",
)
"""Texts on which classes are known to differ: first word, spaces, digits, punctuation, other scripts."""


def remark(folder: Path) -> str:
    """A sentence about how AutoTokenizer's ids differ for the checkpoint in `folder`; empty where they do not.

    Results are cached by the digests of the files.
    """
    if not (folder / TOKENIZER).is_file():
        return ""
    key = digest({path.name: file_digest(path) for path in small_files(folder)})
    if key not in _COMPARED:
        _COMPARED[key] = _compared(folder)
    return _COMPARED[key]


_COMPARED: dict[str, str] = {}
"""Digest of config and tokenizer files → the remark."""


def _compared(folder: Path) -> str:
    """`remark` without the cache."""
    encoder = Encoder.from_folder(folder)
    try:
        theirs: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        their_ids = [tuple(theirs(text, padding=False, truncation=False).input_ids) for text in PROBES]
    except Exception as error:  # of any class; no result depends on AutoTokenizer, so this is only a remark
        return f"AutoTokenizer does not read these files ({type(error).__name__}): tokenizer.json is followed"
    for text, other, ids in zip(PROBES, their_ids, encoder.prompts(PROBES), strict=True):
        if other[: len(encoder.bos) + len(ids)] != (*encoder.bos, *ids):
            name = type(theirs).__name__
            return f"{name} of transformers gives other ids than tokenizer.json, as for {text!r}: the file is followed"
    return ""
