"""Every figure of the report as PDF and SVG for a paper. What draws is imported when something is drawn."""

from __future__ import annotations

from collections.abc import Iterator

from amuro.report.exporters._charts import charts
from amuro.report.exporters.base import Exporter, File, Source


def files(source: Source) -> Iterator[File]:
    """Yields figures/NAME.pdf and figures/NAME.svg, by the names that the figures have beside the report."""
    from amuro.report.exporters._drawing import picture

    for name, chart in charts(source.book).items():
        yield from ((f"figures/{name}.{ending}", content) for ending, content in picture(chart).items())


EXPORTER = Exporter("figures", "every figure as PDF and SVG for a paper", "https://matplotlib.org", files)
