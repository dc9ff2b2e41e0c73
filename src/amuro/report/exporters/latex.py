r"""Tables for a paper: scores of base and tuned models over checkpoints, and the findings.

`\input` them in a document that loads booktabs, longtable and array; `tables.tex` is such a document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from amuro.core.types import Finding
from amuro.report.exporters._latex import escape, long_table, row, table
from amuro.report.exporters.base import Exporter, File, Source
from amuro.report.formatting import interval, number, sentence, signed, slug
from amuro.report.model import ReportData
from amuro.report.score_tables import overview
from amuro.report.tables import Square, Table

DOCUMENT = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage[a4paper,margin=2cm]{geometry}
\usepackage{array,booktabs,longtable}
\begin{document}
@INPUTS@
\end{document}
"""
FINDING_COLUMNS = r"@{}>{\raggedright\arraybackslash}p{0.42\linewidth}llr@{}"
"""Columns of the findings: a sentence, verdict, effect, n."""


def files(source: Source) -> Iterator[File]:
    """Yields scores-SERIES.tex for each series, findings.tex, and tables.tex, which includes them all."""
    written = dict(_score_files(source.book))
    if source.book.findings:
        written["findings"] = _findings_table(source.book)
    yield from ((f"{name}.tex", text) for name, text in written.items())
    inputs = "\n\\clearpage\n".join(rf"\input{{{name}}}" for name in written) or "Nothing was measured yet."
    yield "tables.tex", DOCUMENT.replace("@INPUTS@", inputs)


def _score_files(book: ReportData) -> Iterator[File]:
    for series in book.scores["series"].unique().sort().to_list() if book.scores.height else []:
        found = overview(book, series)
        if found is not None:
            name = f"scores-{slug(series)}"
            yield name, scores_table(found, name)


def scores_table(found: Table, name: str) -> str:
    """Returns scores with their spread in small print, grouped by task."""
    odd = any(square.css == "odd" for _, squares in found.rows for square in squares)
    caption = (
        f"Scores of {escape(found.caption)}: base models, and after tuning on the same task; zero-shot, default "
        r"format. Small: one clustered standard error, or the range over tuning runs. \textit{n.r.}: not run."
        + (r" $\dagger$: degenerate, insufficient or mixed evidence." if odd else "")
    )
    body: list[str] = []
    for k, (_, rows) in enumerate(groupby(found.rows, key=lambda pair: pair[0].split(",")[0])):
        body += [r"\addlinespace"] * (k > 0)
        body += [row([escape(head), *map(_cell, squares)]) for head, squares in rows]
    return table(caption, name, f"@{{}}l{'r' * len(found.head)}@{{}}", ["", *map(escape, found.head)], body)


def _cell(square: Square) -> str:
    if square.css == "hole":
        return r"\textit{n.r.}" if square.text == "not run" else rf"\textit{{{escape(square.text)}}}"
    mark = r"$^\dagger$" if square.css == "odd" else ""
    small = rf" {{\scriptsize {escape(square.small)}}}" if square.small else ""
    return f"{escape(square.text)}{mark}{small}"


def _findings_table(book: ReportData) -> str:
    """Returns the findings by analysis, in the study's order."""
    caption = (
        f"Findings of the study {escape(str(book.study['name']))}: effect, 95\\,\\% interval and smallest effect of "
        r"interest $\delta$. Supported: the interval lies above zero, the effect reaches $\delta$, and $p \leq .05$ "
        r"after Holm's correction. Refuted: the interval lies below $\delta$. Open: neither."
    )
    body: list[str] = []
    for name, found in groupby(book.findings, key=lambda finding: finding.analysis):
        body.append(rf"\multicolumn{{4}}{{@{{}}l}}{{\textbf{{{escape(name.replace('_', ' '))}}}}} \\")
        body += [_finding_row(book, finding) for finding in found]
        body.append(r"\addlinespace")
    return long_table(caption, "findings", FINDING_COLUMNS, ["Finding", "Verdict", "Effect", "$n$"], body)


def _finding_row(book: ReportData, found: Finding) -> str:
    state = "" if found.evidence == "measured" else f" ({found.evidence})"
    effect = f"{signed(found.effect)} {interval(found.low, found.high)} (δ {number(found.delta)})"
    cells: Sequence[str] = (
        sentence(found.statement, book.tasks), found.verdict + state, effect if found.effect is not None else "–",
        f"{found.n} {found.unit}",
    )  # fmt: skip
    return row(map(escape, cells))


EXPORTER = Exporter(
    "latex", "tables of scores and findings for a paper (booktabs)", "https://ctan.org/pkg/booktabs", files
)
