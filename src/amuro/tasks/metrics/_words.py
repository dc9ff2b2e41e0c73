"""What a word is, in every script."""

from __future__ import annotations

import unicodedata

UNSPACED = (
    "CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "BOPOMOFO", "THAI",
    "LAO", "KHMER", "MYANMAR", "TIBETAN",
)  # fmt: skip
"""How Unicode names the characters of scripts that put no spaces between words: each stands as a word by itself, as in
the usual evaluations of Chinese, Japanese and Thai (MLQA, arXiv:1910.07475; XL-Sum, arXiv:2106.13822)."""


class _Parted(dict[int, str]):
    """Character → itself within a word, itself between spaces, or what parts words. Each is looked up once."""

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
    """Lower-case runs of letters, marks and digits of any script; everything else parts them. One composed form (NFC)
    of each letter.
    """
    return unicodedata.normalize("NFC", text.lower()).translate(_RUNS).split()


def spoken(text: str) -> list[str]:
    """The same with punctuation and signs left out rather than parting: *it's* is one word, *its*."""
    return unicodedata.normalize("NFC", text.lower()).translate(_JOINED).split()
