"""Contract test of importers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from amuro.core.errors import DataError, StudyError
from amuro.results.importers.base import Importer

FOREIGN = {
    "another table": "colour,size\nred,3\n",
    "nothing": "",
    "no table": "\x00\x01 this is no table\n",
}


def check(importer: Importer) -> Iterator[str]:
    """Checks that an importer states its source and refuses foreign files with a `DataError` that names the file.

    Yields a line on what was checked; raises `StudyError` on the first violation.
    """
    for name in ("description", "source"):
        if not getattr(importer, name):
            raise StudyError(f"importer {importer.name} states no {name}", cure="say whose tables it reads and where")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "strange_table.csv"
        for what, text in FOREIGN.items():
            path.write_text(text, encoding="utf-8")
            _refuses(importer, path, what)
        path.unlink()
        _refuses(importer, path, "a missing file")
    yield f"refuses {', '.join(FOREIGN)} and a missing file by name"


def _refuses(importer: Importer, path: Path, what: str) -> None:
    try:
        importer.read([path])
    except DataError as refusal:
        if path.name not in refusal.message:
            raise StudyError(f"importer {importer.name} refuses {what} without its file's name: {refusal}",
                             cure="begin the message with it") from refusal  # fmt: skip
        return
    except Exception as fault:
        raise StudyError(f"importer {importer.name} falls over {what}: {type(fault).__name__}: {fault}",
                         cure="raise DataError") from fault  # fmt: skip
    raise StudyError(f"importer {importer.name} reads {what} as a table", cure="raise DataError on unknown columns")
