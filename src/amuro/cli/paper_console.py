"""What the verbs on released scores print. Nothing is computed here."""

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
    "cross_task_directions": ("Tuned on one kind, asked the other: the paper's mean of ratios, and the ratio of sums",
                              ("direction", "n", "mean_ratio", "sd", "median", "ratio_of_sums")),
    "out_of_domain_families": ("Out of domain by family", ("family", "n", "mean_change", "low", "high", "state")),
    "average_change": ("Average change by checkpoint", ("group", "checkpoint", "sets", "mean_change", "low", "high")),
    "replicate_spread": ("How far near-replicate checkpoints differ", ("score", "pairs", "rms", "largest")),
}  # fmt: skip
"""Tables of the released scores that the terminal shows: heading and columns; all of them are in files."""


def show_released(found: Released) -> None:
    """The claims on released scores with their limits, the marks of the table, and the paper's numbers anew."""
    console.print(f"[bold]{found.title}[/]\n{WEAKER}")
    for finding in found.findings:
        state = "" if finding.evidence == "measured" else f" ({finding.evidence})"
        verdict = (f"{finding.verdict}{state}", VERDICT_STYLE[finding.verdict])
        console.print(Text.assemble("\n", (finding.id, "bold"), "  ", verdict, f"  {finding.statement}"))
        console.print(Text(f"    {finding.note.removesuffix(WEAKER)}", style="dim"))
    show_remarks(found.warnings)
    for name, (heading, columns) in NUMBERS.items():
        frame = found.tables[name]
        table = Table(*(column.replace("_", " ") for column in columns), box=None, padding=(0, 1))
        for row in frame.select(columns).rows() if frame.height else ():
            table.add_row(*("–" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in row))
        console.print(f"\n[bold]{heading}[/]")
        console.print(table)
    unreached = [f"figure {f.number}: needs {f.lacking}" for f in found.figures if f.lacking]
    console.print("\n[bold]not drawn, or not whole[/]")
    for line in unreached:
        console.print(f"  {line}", markup=False)
    counts = Counter(remark.kind for remark in found.remarks)
    console.print("\n[bold]ambiguous or missing[/]  " + " · ".join(f"{kind}: {n}" for kind, n in counts.items()))


def show_remarks(remarks: Sequence[TableNote]) -> None:
    """What is ambiguous, missing or worthless, by kind."""
    for kind in dict.fromkeys(remark.kind for remark in remarks):
        console.print(f"\n[bold]{kind}[/]")
        for remark in (r for r in remarks if r.kind == kind):
            console.print(f"  {remark.where}: {remark.detail}", markup=False)
