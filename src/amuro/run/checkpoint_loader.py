"""Loads checkpoints into an engine, and refuses those whose files or weights are not what the study means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from amuro.core.errors import WeightsError
from amuro.core.hashing import digest
from amuro.core.types import Checkpoint
from amuro.engine.base import Engine
from amuro.prompts.tokenizer import Encoder
from amuro.run.prefetch import read_ahead
from amuro.series import _pretrained, load_series_kind
from amuro.series.base import tokenizer_folder, twin_error
from amuro.study.inputs import UNKNOWN, Inputs
from amuro.study.plan import Plan
from amuro.study.store import Store
from amuro.study.twins import blocked


class CheckpointLoader:
    """Keeps one checkpoint loaded in an engine, and one encoder per tokenizer."""

    def __init__(
        self, plan: Plan, store: Store, engine: Engine, inputs: Inputs, emit: Callable[[Mapping[str, Any]], None]
    ) -> None:
        """`inputs`: digests as the run read them first; `emit` is called with each event."""
        self._plan, self._store, self._engine, self._inputs, self._emit = plan, store, engine, inputs, emit
        self._loaded: Checkpoint | None = None
        self.folder: Path | None = None
        """Folder of the loaded checkpoint; None for engines without weights."""
        self._tokenizer: Path | None = None
        """Folder of the loaded checkpoint's tokenizer, if that is not `folder`."""
        self._following: Checkpoint | None = None
        self._read_encoder = lru_cache(maxsize=4)(_encoder)
        self._encoders: dict[tuple[str, int, frozenset[int]], Encoder] = {}
        self._emitted: set[str] = set()
        """Remarks that were emitted already."""

    def load(self, checkpoint: Checkpoint) -> None:
        """Loads a checkpoint; one that is loaded already is only reset to its base weights.

        Raises WeightsError if its files are damaged or changed during the run, and the error of an equal earlier
        checkpoint (`twin_error`).
        """
        if self._loaded == checkpoint:
            self._engine.reset()
            return
        self._loaded = None  # until all checks have passed
        self.folder = folder_of(self._plan, self._store, checkpoint)
        self._tokenizer = tokenizer_folder(checkpoint)
        self.refuse_damaged(checkpoint)
        before = self._inputs.checkpoint(checkpoint)
        self._engine.load(checkpoint, self.folder)
        if Inputs(self._plan, self._store).checkpoint(checkpoint) != before:
            raise WeightsError(f"the files of {checkpoint.address} changed since the run began", cure="run again")
        for remark in {*self._engine.remarks(), *self.encoder().remarks} - self._emitted:
            self._emitted.add(remark)
            self._emit({"event": "remark", "job": checkpoint.address, "text": remark})
        self._refuse_twin(checkpoint)
        self._loaded = checkpoint

    def encoder(self) -> Encoder:
        """Returns the encoder of the loaded checkpoint.

        Equal tokenizers of several folders give the same object, so that everything encoded with it is shared.
        """
        encoder = self._read_encoder(self.folder, self._tokenizer)
        return self._encoders.setdefault((encoder.digest, encoder.eos, encoder.ends), encoder)

    def read_ahead(self, following: Checkpoint | None) -> None:
        """Starts to fetch and read the files of the checkpoint that will be loaded next, once, in the background."""
        if following not in (None, self._following):
            self._following = following
            read_ahead(lambda: folder_of(self._plan, self._store, following))

    def refuse_damaged(self, checkpoint: Checkpoint) -> None:
        """Raises WeightsError if a checkpoint that amuro pre-trained no longer has the files it wrote."""
        made_here = load_series_kind(self._plan.study.series[checkpoint.series].kind).pretraining is not None
        if made_here and self.folder and self.folder.is_dir() and not _pretrained.is_whole(checkpoint, self.folder):
            raise WeightsError(
                f"{checkpoint.address} in {self.folder} is no longer what pre-training wrote",
                cure="amuro run sets it aside and makes it again",
            )

    def _refuse_twin(self, checkpoint: Checkpoint) -> None:
        """Raises the error of a checkpoint whose weights equal those of an earlier step of its series.

        The checkpoint is recorded before the comparison: of two workers that load equal weights at once, at least one
        notices. A later step that turns out equal to this one is reported as failed.
        """
        facts = {"checkpoint": checkpoint.address, "weights": self._inputs.checkpoint(checkpoint)["weights"]}
        if facts["weights"] == UNKNOWN:
            return
        before = blocked(self._plan, self._store)
        self._store.commit("checkpoints", digest(facts), facts, {})
        twins = blocked(self._plan, self._store)
        if checkpoint.address in twins:
            raise twin_error(checkpoint.address, twins[checkpoint.address])
        for later in twins.keys() - before.keys():
            self._emit({"event": "failed", "cell": later, "error": str(twin_error(later, twins[later]))})


def folder_of(plan: Plan, store: Store, checkpoint: Checkpoint) -> Path | None:
    """Returns the folder of a checkpoint's weights, fetched by its series kind if needed; None without weights."""
    return load_series_kind(plan.study.series[checkpoint.series].kind).locate(checkpoint, store.root / "series")


def _encoder(folder: Path | None, words: Path | None) -> Encoder:
    """Returns the encoder of a folder; the byte encoder for engines without weights."""
    return Encoder.from_folder(folder, words) if folder else Encoder.of_bytes()
