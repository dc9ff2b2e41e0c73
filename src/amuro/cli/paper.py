"""`amuro paper` and `amuro import`: score tables of others. Each command imports what it needs when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path | None, typer.Option("--out", help="Where page and tables go; default below ./amuro-results.")]


def add_to(app: typer.Typer) -> None:
    """Adds the two commands to `app`."""
    app.command("paper")(paper)
    app.command("import")(import_verb)


def paper(
    tables: Annotated[
        list[Path] | None, typer.Argument(help="Further released tables of the paper.", show_default=False)
    ] = None,
    out: Out = None,
) -> None:
    """What the released scores of eight OLMo-1B checkpoints support and what they do not: seconds, no network.

    Example: `amuro paper`; with the released multiple-choice table: `amuro paper official_table.csv`
    """
    from amuro.cli.paper_console import show_released
    from amuro.paper import study as papers
    from amuro.paper.page import write_released

    released = papers.judged(papers.load(tables or []))
    page = write_released(released, out or Path("amuro-results") / "paper")
    show_released(released)
    typer.echo(f"\nReport: {page}")


def import_verb(
    importer: Annotated[str, typer.Argument(help="Whose tables they are: paper.")],
    tables: Annotated[list[Path], typer.Argument(help="Files to read.")],
    out: Out = None,
) -> None:
    """Reads score tables of others into tidy scores, and lists what in them is ambiguous or missing.

    Example: `amuro import paper all_perf_table.csv`
    """
    from amuro.cli.paper_console import show_remarks
    from amuro.paper import study as papers

    folder = out or Path("amuro-results") / f"import-{importer}"
    table = papers.bring_in(importer, tables, folder)
    show_remarks(table.remarks)
    typer.echo(f"{table.scores.height} scores: {folder / 'scores.parquet'}; remarks: {folder / 'remarks.csv'}")
