"""Text and tables as LaTeX that compiles with any engine, whatever the names contain."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

_COMMANDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}", "`": r"\symbol{96}",
    "–": r"\textendash{}", "—": r"\textemdash{}", "−": "$-$", "×": r"$\times$", "±": r"$\pm$", "≤": r"$\leq$",
    "≥": r"$\geq$", "→": r"$\rightarrow$", "δ": r"$\delta$", "Δ": r"$\Delta$", "σ": r"$\sigma$", "…": r"\dots{}",
    "·": r"$\cdot$", "“": "``", "”": "''", "‘": "`", "’": "'", "†": r"$\dagger$", "✓": r"$\surd$", "\u00a0": "~",
}  # fmt: skip
"""What has a meaning in LaTeX, or no glyph in its first fonts."""
_JOINING = "-',"
"""Two of these would become one sign."""
_LATIN = frozenset("ßæøåÆØÅ")


def escape(text: str) -> str:
    """Returns the text as LaTeX. White space becomes one space; a character that pdfLaTeX lacks is
    given by its code.
    """
    line = " ".join(text.split())
    apart = ("{}" if one == other and other in _JOINING else "" for one, other in pairwise(f" {line}"))
    return "".join(gap + _character(character) for gap, character in zip(apart, line, strict=True))


def _character(character: str) -> str:
    if character in _COMMANDS:
        return _COMMANDS[character]
    if character.isascii() and character.isprintable():
        return character
    if character in _LATIN or _accented(character):
        return character
    return f"[U+{ord(character):04X}]"


def _accented(character: str) -> bool:
    """Whether a character is an accented ASCII letter of Latin-1, which every engine can compose."""
    parts = unicodedata.normalize("NFD", character)
    return "À" <= character <= "ÿ" and len(parts) == 2 and parts[0].isascii()


def label(name: str) -> str:
    """Returns a name that is safe as the label of a table."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name)


def row(cells: Iterable[str]) -> str:
    """Returns one row of a table from LaTeX cells. A cell that begins with `[` is protected from being read as an
    argument.
    """
    return " & ".join(f"{{}}{cell}" if cell.startswith(("[", "*")) else cell for cell in cells) + r" \\"


def table(caption: str, name: str, columns: str, head: Sequence[str], body: Sequence[str]) -> str:
    """Returns a floating table with booktabs rules; `body` are rows and rules."""
    return "\n".join([
        r"\begin{table}[tb]", r"\centering", r"\small\setlength{\tabcolsep}{4pt}", rf"\caption{{{caption}}}",
        rf"\label{{tab:{label(name)}}}",
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule", row(head), r"\midrule", *body, r"\bottomrule",
        r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def long_table(caption: str, name: str, columns: str, head: Sequence[str], body: Sequence[str]) -> str:
    """Returns a table over several pages that repeats its head."""
    return "\n".join([
        r"\begingroup\small", rf"\begin{{longtable}}{{{columns}}}",
        rf"\caption{{{caption}}}\label{{tab:{label(name)}}} \\", r"\toprule", row(head), r"\midrule", r"\endfirsthead",
        r"\toprule", row(head), r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot", *body, r"\end{longtable}",
        r"\endgroup", "",
    ])  # fmt: skip
