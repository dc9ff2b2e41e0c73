"""Checkpoints and resume states of a pre-training run, written atomically.

A folder is written as a draft beside its final place, synced to disk, and renamed. Its manifest holds the run, the step
and the sha256 of every file. A folder that does not match its manifest, or belongs to another run, is never loaded.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from amuro.core import disk, owners
from amuro.engine.pretraining.tokenizer import EOS, PAD

KEPT_STATES = 2
"""Number of resume states that are kept."""

SetAside = Callable[[Path], None]
"""Called with a damaged folder; moves it away."""


def step_folder(folder: Path, step: int) -> Path:
    """The folder of the checkpoint after `step` steps."""
    return folder / f"step-{step:08d}"


def exists(folder: Path, identity: str, step: int, set_aside: SetAside) -> bool:
    """Whether the checkpoint of a step exists as the run with that digest wrote it; a damaged one is set aside."""
    place = step_folder(folder, step)
    return place.is_dir() and _is_whole(place, set_aside, identity, step)


def publish(folder: Path, identity: str, step: int, model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """Write the checkpoint of a step as a Hugging Face folder with tokenizer. identity: digest of the run."""

    def write(draft: Path) -> None:
        untyped: Any = transformers_logging
        untyped.disable_progress_bar()  # it would show for each file of a megabyte
        model.save_pretrained(draft)
        fast: Any = PreTrainedTokenizerFast
        fast(tokenizer_object=tokenizer, bos_token=EOS, eos_token=EOS, pad_token=PAD).save_pretrained(draft)

    _commit(step_folder(folder, step), write, identity, step)


def save_state(folder: Path, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the state that the next step depends on; older states than the last two are deleted."""

    def write(draft: Path) -> None:
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, draft / "tensors.safetensors"
        )
        (draft / "facts.json").write_text(json.dumps(facts), encoding="utf-8")

    place = folder / "state" / f"step-{facts['step']:08d}"
    if not place.exists():
        _commit(place, write, facts["digest"], facts["step"])
    for old in _states(folder)[:-KEPT_STATES]:
        shutil.rmtree(old, ignore_errors=True)


def latest_state(
    folder: Path, digest: str, before: int, set_aside: SetAside
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """(facts, tensors) of the latest state of the run with that digest, at or before step `before`, else None.

    A damaged state is set aside, and the one before it is used.
    """
    for place in reversed(_states(folder)):
        if not _is_whole(place, set_aside, digest, int(place.name.removeprefix("step-"))):
            continue
        facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
        if facts["step"] <= before:
            return facts, load_file(place / "tensors.safetensors")
    return None


def put_aside(place: Path) -> None:
    """Move a damaged folder into `quarantine` beside it."""
    aside = place.parent / "quarantine"
    aside.mkdir(exist_ok=True)
    place.rename(aside / f"{place.name}.{time.time_ns()}")


def _is_whole(place: Path, set_aside: SetAside, identity: str, step: int) -> bool:
    """Whether the folder matches its manifest, and belongs to that run and step; if not, it is set aside."""
    if disk.whole(place, identity=identity, step=step) is not None:
        return True
    set_aside(place)
    return False


def _states(folder: Path) -> list[Path]:
    """The folders of all resume states, by rising step."""
    return sorted((folder / "state").glob("step-*"))


def _commit(place: Path, write: Callable[[Path], None], identity: str, step: int) -> None:
    """Write a draft folder, sync it, and rename it to `place`.

    If another process was first, its folder is kept: the content is the same. Raises StoreError on a failing disk.
    """
    draft = place.with_name(f".draft-{place.name}.{owners.me()}.{time.monotonic_ns()}")
    try:
        with disk.writing(place.name, place.parent):
            place.parent.mkdir(exist_ok=True)  # without `parents`: a store that was removed must not be created again
            draft.mkdir()
            _fill(draft, write, identity, step)
            try:
                draft.rename(place)
            except OSError:
                if not place.exists():
                    raise
            disk.sync(place.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(draft: Path, write: Callable[[Path], None], identity: str, step: int) -> None:
    """Write the files and the manifest of a draft, and sync them."""
    try:
        write(draft)
    except SafetensorError as error:  # safetensors reports a failing disk by an exception class of its own
        raise OSError(str(error)) from error
    disk.list_files(draft, {"identity": identity, "step": step})
    for path in (*draft.iterdir(), draft):
        disk.sync(path)
