"""Whether transformers' AutoTokenizer reads a checkpoint's texts as amuro does.

Some of its classes make normaliser, splitter or template anew, whatever tokenizer.json says. amuro follows the file.
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
"""Texts in which classes differ: a first word, blanks, figures, marks, other scripts."""


def remark(folder: Path) -> str:
    """How ids differ, in words; empty where they do not. Equal files are compared once."""
    if not (folder / TOKENIZER).is_file():
        return ""
    key = digest({path.name: file_digest(path) for path in small_files(folder)})
    if key not in _COMPARED:
        _COMPARED[key] = _compared(folder)
    return _COMPARED[key]


_COMPARED: dict[str, str] = {}
"""Digest of small files → what was found."""


def _compared(folder: Path) -> str:
    encoder = Encoder.from_folder(folder)
    try:
        theirs: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        read = [tuple(theirs(text, padding=False, truncation=False).input_ids) for text in PROBES]
    except Exception as error:  # whatever it raises: it is their reader, and no number stands on it
        return f"AutoTokenizer does not read these files ({type(error).__name__}): tokenizer.json is followed"
    for text, other, own in zip(PROBES, read, encoder.prompts(PROBES), strict=True):
        if other[: len(encoder.bos) + len(own)] != (*encoder.bos, *own):
            name = type(theirs).__name__
            return f"{name} of transformers gives other ids than tokenizer.json, as for {text!r}: the file is followed"
    return ""
