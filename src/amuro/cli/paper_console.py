"""Prints the results of the commands on released scores. Nothing is computed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from amuro.cli.console import VERDICT_STYLE, console
from amuro.paper.page import Released
from amuro.paper.text import WEAKER
from amuro.results.importers.base import TableNote

NUMBERS = {
    "cross_task_directions": ("Tuned on one kind, evaluated on the other: mean of ratios, ratio of sums",
                              ("direction", "n", "mean_ratio", "sd", "median", "ratio_of_sums")),
    "out_of_domain_families": ("Out of domain by family", ("family", "n", "mean_change", "low", "high", "state")),
    "average_change": ("Average change by checkpoint", ("group", "checkpoint", "sets", "mean_change", "low", "high")),
    "replicate_spread": ("How far near-replicate checkpoints differ", ("score", "pairs", "rms", "largest")),
}  # fmt: skip
"""Tables of the released scores that the terminal shows: heading and columns; all of them are in files."""


def show_released(released: Released) -> None:
    """Prints the claims on the released scores with their caveats, notes on the tables, and the paper's numbers."""
    console.print(f"[bold]{released.title}[/]\n{WEAKER}")
    for finding in released.findings:
        state = "" if finding.evidence == "measured" else f" ({finding.evidence})"
        verdict = (f"{finding.verdict}{state}", VERDICT_STYLE[finding.verdict])
        console.print(Text.assemble("\n", (finding.id, "bold"), "  ", verdict, f"  {finding.statement}"))
        console.print(Text(f"    {finding.note.removesuffix(WEAKER)}", style="dim"))
    show_remarks(released.warnings)
    for name, (heading, columns) in NUMBERS.items():
        frame = released.tables[name]
        table = Table(*(column.replace("_", " ") for column in columns), box=None, padding=(0, 1))
        for row in frame.select(columns).rows() if frame.height else ():
            table.add_row(*("–" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in row))
        console.print(f"\n[bold]{heading}[/]")
        console.print(table)
    unreached = [f"figure {f.number}: needs {f.lacking}" for f in released.figures if f.lacking]
    console.print("\n[bold]not drawn, or not whole[/]")
    for line in unreached:
        console.print(f"  {line}", markup=False)
    counts = Counter(remark.kind for remark in released.remarks)
    console.print("\n[bold]ambiguous or missing[/]  " + " · ".join(f"{kind}: {n}" for kind, n in counts.items()))


def show_remarks(remarks: Sequence[TableNote]) -> None:
    """Prints what is ambiguous, missing or unusable in the tables, by kind."""
    for kind in dict.fromkeys(remark.kind for remark in remarks):
        console.print(f"\n[bold]{kind}[/]")
        for remark in (r for r in remarks if r.kind == kind):
            console.print(f"  {remark.where}: {remark.detail}", markup=False)
