"""Splits text of any script into words."""

from __future__ import annotations

import unicodedata

UNSPACED = (
    "CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "BOPOMOFO", "THAI",
    "LAO", "KHMER", "MYANMAR", "TIBETAN",
)  # fmt: skip
"""How Unicode names the characters of scripts that put no spaces between words: each stands as a word by itself, as in
the usual evaluations of Chinese, Japanese and Thai (MLQA, arXiv:1910.07475; XL-Sum, arXiv:2106.13822)."""


class _Parted(dict[int, str]):
    """A translation table: character → itself within a word, itself between spaces, or a separator. Cached."""

    def __init__(self, between: str) -> None:
        super().__init__()
        self._between = between

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kind, name = unicodedata.category(letter)[0], unicodedata.name(letter, "")
        if kind in "LMN":
            found = f" {letter} " if name.startswith(UNSPACED) else letter
        else:
            found = self._between if kind in "PS" else " "
        self[code] = found
        return found


_RUNS, _JOINED = _Parted(" "), _Parted("")


def words(text: str) -> list[str]:
    """Returns the lower-case runs of letters, marks and digits of any script, in composed form (NFC); all else
    separates.
    """
    return unicodedata.normalize("NFC", text.lower()).translate(_RUNS).split()


def spoken(text: str) -> list[str]:
    """Returns the same, but punctuation and symbols are removed instead of separating: *it's* is one word, *its*."""
    return unicodedata.normalize("NFC", text.lower()).translate(_JOINED).split()
