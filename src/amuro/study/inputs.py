"""What the cells of a plan stand on besides the study: rows, tokenizer, configuration and weights, as digests.

`declared` is what decides whether a cell is done and what its result is filed under: one dictionary, made here alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from amuro.core.errors import DataError
from amuro.core.hashing import digest, file_digest, tensor_digest
from amuro.core.types import Cell, Checkpoint
from amuro.core.weights import small_files
from amuro.data import files
from amuro.series import load_series_kind
from amuro.series.base import tokenizer_folder
from amuro.study.plan import Plan
from amuro.study.store import Store

UNKNOWN = "not at hand"
"""Of what does not lie on this machine: nobody can say that it has changed."""


class Inputs:
    """Of one plan. What was found stays for the life of this object: make a new one to look again."""

    def __init__(self, plan: Plan, store: Store) -> None:
        """The store remembers digests of files by their stamps (`digests.json`)."""
        self._plan = plan
        self._memo, self._cache = store.root / "digests.json", store.root / "series"
        self.rows = lru_cache(maxsize=None)(self._rows)
        self.checkpoint = lru_cache(maxsize=None)(self._checkpoint)

    def declared(self, cell: Cell) -> dict[str, Any]:
        """Everything that a cell's result depends on, as plain data. UNKNOWN stands for what is not at hand."""
        found = self._plan.declared(cell)
        found["rows"] = {name: self.rows(*where) for name, where in self._plan.rows_read(cell).items()}
        found["checkpoint"] = self.checkpoint(cell.model.checkpoint)
        found["code"] = {name: self._module(name) for name in self._plan.outside(cell)}
        return found

    def places(self, cell: Cell) -> dict[str, str]:
        """Dotted name of the inputs that are files → in words, with the place that they are read from."""
        folder, beside = self._folder(cell.model.checkpoint)
        found = {"checkpoint.weights": f"weights in {folder}"} if folder else {}
        found |= {f"checkpoint.files.{path.name}": str(path) for path in beside}
        for name, (task, split) in self._plan.rows_read(cell).items():
            found[f"rows.{name}"] = f"rows {name} ({self._plan.source(task)} {self._plan.tasks[task].splits[split]})"
        return found

    def model(self, checkpoint: Checkpoint) -> str:
        """Key of a base model: of its weights and of every small file that is read beside them."""
        found = self.checkpoint(checkpoint)
        return digest(
            {**found, "step": checkpoint.step} if found["weights"] == UNKNOWN else [found["weights"], found["files"]]
        )

    def _rows(self, task: str, split: str) -> str:
        """Of the bytes that hold them here; empty where something else pins them: the hub, a world's seed."""
        kind, _, path = self._plan.source(task).partition(":")
        name, _, _cut = self._plan.tasks[task].splits[split].partition("[")
        try:
            return files.sha256(path, name, self._memo) if kind == "file" else ""
        except files.AbsentError:
            return UNKNOWN
        except DataError as bad:
            return f"not to be read: {bad}"

    def _checkpoint(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        folder, beside = self._folder(checkpoint)
        named = {"identity": checkpoint.identity, "revision": checkpoint.revision}
        if folder is None:
            return {**named, "weights": UNKNOWN, "files": UNKNOWN}
        files = {path.name: file_digest(path, self._memo) for path in beside}
        return {**named, "weights": tensor_digest(folder, self._memo), "files": files}

    def _folder(self, checkpoint: Checkpoint) -> tuple[Path | None, Sequence[Path]]:
        """Where the checkpoint lies, if here, and the small files that are read with its weights."""
        kind = load_series_kind(self._plan.study.series[checkpoint.series].kind)
        folder = kind.at_hand(checkpoint, self._cache)
        return folder, small_files(folder, tokenizer_folder(checkpoint)) if folder else ()

    def _module(self, name: str) -> str:
        """Of a file of Python outside the package: what it imports itself is not followed."""
        spec = find_spec(name)
        return file_digest(Path(spec.origin), self._memo) if spec and spec.origin else UNKNOWN
