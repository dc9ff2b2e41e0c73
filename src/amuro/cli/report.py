"""`amuro report` and `amuro export`. Each command imports what it needs when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amuro.cli.options import (
    DEFAULT_STORE,
    Device,
    Dtype,
    Limit,
    OutDir,
    Seeds,
    StoreDir,
    StudyFile,
    opened_store,
    planned,  # fmt: skip
)

if TYPE_CHECKING:
    from amuro.report.compare.saved_report import Kept
    from amuro.results.analyze import Results
    from amuro.study.plan import Plan
    from amuro.study.store import Store

ExportDir = Annotated[Path | None, typer.Option("--out", help="Default ./amuro-results/NAME/export.")]
Reports = Annotated[
    list[Path] | None, typer.Argument(help="Studies in TOML, or folders of reports.", show_default=False)
]
Index = Annotated[Path | None, typer.Option("--index", help="Write index.html over the reports in this folder.")]
To = Annotated[list[str] | None, typer.Option("--to", help="What to write, repeatable; default all but large ones.")]


def add_to(app: typer.Typer) -> None:
    """Adds the two commands to `app`."""
    app.command("report")(report)
    app.command("export")(export)


def report(
    studies: Reports = None, store: StoreDir = DEFAULT_STORE, out: OutDir = None, index: Index = None,
    limit: Limit = None, device: Device = None, dtype: Dtype = None, seeds: Seeds = None,
) -> None:  # fmt: skip
    """Prints the findings and writes report.html, findings.json, and the scores as CSV and Parquet.

    Two studies, or folders of earlier reports, are compared (compare.html); more of them, or `--index`, get one page
    with a link to each (index.html).

    Example: `amuro report studies/demo.toml --out my-results`; `amuro report studies/demo.toml results/demo_full`
    """
    from amuro.report.compare import command

    paths = studies or []
    if len(paths) == 1 and index is None and not paths[0].is_dir():
        tell(planned(paths[0], limit, device, dtype, seeds), opened_store(store), out)
        return

    def read(path: Path) -> Kept:
        return command.read(planned(path, limit, device, dtype, seeds), opened_store(store))

    typer.echo(command.told(paths, index, out, read))


def export(
    study: StudyFile, to: To = None, store: StoreDir = DEFAULT_STORE, out: ExportDir = None, limit: Limit = None,
    device: Device = None, dtype: Dtype = None, seeds: Seeds = None,
) -> None:  # fmt: skip
    """Writes the findings in other forms: tables, figures, JSON (`amuro list exporters`).

    Example: `amuro export studies/demo.toml --to latex --to figures`
    """
    from amuro.cli import console
    from amuro.report.build import source
    from amuro.report.exporters import _write as exports
    from amuro.report.html.provenance import shortfall
    from amuro.results.analyze import results

    exporters = exports.kinds(to or [])
    plan, opened = planned(study, limit, device, dtype, seeds), opened_store(store)
    folder = out or Path("amuro-results") / plan.study.name / "export"
    analysed = results(plan, opened)
    written = exports.write(source(plan, opened, analysed), exporters, folder)
    console.show_damage(opened)
    console.show_shortfall(shortfall(analysed.evidence.planned))
    typer.echo(f"{len(written)} files ({', '.join(exporter.name for exporter in exporters)}): {folder}")


def tell(plan: Plan, store: Store, out: Path | None) -> Results:
    """Prints the findings of a study, writes its report and returns the results."""
    from amuro.cli import console
    from amuro.report.build import book
    from amuro.report.html.provenance import shortfall
    from amuro.report.write import write_report
    from amuro.results.analyze import results
    from amuro.study.status import failures

    analysed = results(plan, store)
    folder = out or Path("amuro-results") / plan.study.name
    page = write_report(book(plan, store, analysed), folder)
    console.show_damage(store)
    console.show_shortfall(shortfall(analysed.evidence.planned))
    console.show_findings(analysed.findings, analysed.flags)
    console.show_gaps(analysed.states, failures(analysed.states, store))
    typer.echo(f"\nReport: {page}")
    return analysed
