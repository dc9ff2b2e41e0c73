"""Digests of what the cells of a plan depend on besides the study: rows, tokenizer, configuration and weights.

`Inputs.declared` decides whether a cell is done and is part of its result's key. No other code computes it.
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
"""Digest of files that are not on this machine; it never counts as a change."""


class Inputs:
    """The inputs of one plan. Digests are cached for the life of the object: make a new one to read the files again."""

    def __init__(self, plan: Plan, store: Store) -> None:
        """`store` caches digests of files by size and modification time in `digests.json`."""
        self._plan = plan
        self._memo, self._cache = store.root / "digests.json", store.root / "series"
        self.rows = lru_cache(maxsize=None)(self._rows)
        self.checkpoint = lru_cache(maxsize=None)(self._checkpoint)

    def declared(self, cell: Cell) -> dict[str, Any]:
        """Returns everything that a cell's result depends on, as plain data; UNKNOWN for files that are not here."""
        inputs = self._plan.declared(cell)
        inputs["rows"] = {name: self.rows(*where) for name, where in self._plan.rows_read(cell).items()}
        inputs["checkpoint"] = self.checkpoint(cell.model.checkpoint)
        inputs["code"] = {name: self._module(name) for name in self._plan.outside(cell)}
        return inputs

    def places(self, cell: Cell) -> dict[str, str]:
        """Returns dotted name of an input → description with the path it is read from, for inputs that are files."""
        folder, small = self._folder(cell.model.checkpoint)
        described = {"checkpoint.weights": f"weights in {folder}"} if folder else {}
        described |= {f"checkpoint.files.{path.name}": str(path) for path in small}
        for name, (task, split) in self._plan.rows_read(cell).items():
            described[f"rows.{name}"] = (
                f"rows {name} ({self._plan.source(task)} {self._plan.tasks[task].splits[split]})"
            )
        return described

    def model(self, checkpoint: Checkpoint) -> str:
        """Returns the key of a base model: a digest of its weights and of every small file that is read with them."""
        inputs = self.checkpoint(checkpoint)
        return digest(
            {**inputs, "step": checkpoint.step}
            if inputs["weights"] == UNKNOWN
            else [inputs["weights"], inputs["files"]]
        )

    def _rows(self, task: str, split: str) -> str:
        """Returns the digest of a split's file; '' if the hub's commit or the world's seed pins the rows; UNKNOWN if
        absent.
        """
        kind, _, path = self._plan.source(task).partition(":")
        name, _, _cut = self._plan.tasks[task].splits[split].partition("[")
        try:
            return files.sha256(path, name, self._memo) if kind == "file" else ""
        except files.AbsentError:
            return UNKNOWN
        except DataError as bad:
            return f"not to be read: {bad}"

    def _checkpoint(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        """Returns identity, revision and the digests of weights and small files; UNKNOWN if they are not here."""
        folder, small = self._folder(checkpoint)
        named = {"identity": checkpoint.identity, "revision": checkpoint.revision}
        if folder is None:
            return {**named, "weights": UNKNOWN, "files": UNKNOWN}
        files = {path.name: file_digest(path, self._memo) for path in small}
        return {**named, "weights": tensor_digest(folder, self._memo), "files": files}

    def _folder(self, checkpoint: Checkpoint) -> tuple[Path | None, Sequence[Path]]:
        """Returns the checkpoint's folder (None: not on this machine) and the small files read with its weights."""
        kind = load_series_kind(self._plan.study.series[checkpoint.series].kind)
        folder = kind.at_hand(checkpoint, self._cache)
        return folder, small_files(folder, tokenizer_folder(checkpoint)) if folder else ()

    def _module(self, name: str) -> str:
        """Returns the digest of a Python module outside the package. Modules that it imports are not included."""
        spec = find_spec(name)
        return file_digest(Path(spec.origin), self._memo) if spec and spec.origin else UNKNOWN
