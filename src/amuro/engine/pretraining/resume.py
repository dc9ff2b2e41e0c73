"""Files of a pre-training run, each whole or absent: a draft beside it, listed, synced, then one rename.

Each folder has a manifest: of which run and step it is, and the sha256 of every file. What no longer matches it, or is
another's, is never read as weights or state.
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

SetAside = Callable[[Path], None]
"""Takes what is damaged out of the way."""


def step_folder(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def exists(folder: Path, identity: str, step: int, set_aside: SetAside) -> bool:
    """Whether the checkpoint of a step is there as that run wrote it; one that is not is set aside."""
    place = step_folder(folder, step)
    return place.is_dir() and _is_whole(place, set_aside, identity, step)


def publish(folder: Path, identity: str, step: int, model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """An ordinary Hugging Face folder: `from_pretrained` of any tool reads it. identity: digest of the run."""

    def write(draft: Path) -> None:
        untyped: Any = transformers_logging
        untyped.disable_progress_bar()  # a bar for one file of a megabyte
        model.save_pretrained(draft)
        fast: Any = PreTrainedTokenizerFast
        fast(tokenizer_object=tokenizer, bos_token=EOS, eos_token=EOS, pad_token=PAD).save_pretrained(draft)

    _commit(step_folder(folder, step), write, identity, step)


def save_state(folder: Path, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """What the next step depends on; only the last two states are kept."""

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
    """(facts, tensors) of the latest state of that configuration at or below step `before`.

    A state that is not as it was written is set aside; the one before it takes its place.
    """
    for place in reversed(_states(folder)):
        if not _is_whole(place, set_aside, digest, int(place.name.removeprefix("step-"))):
            continue
        facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
        if facts["step"] <= before:
            return facts, load_file(place / "tensors.safetensors")
    return None


def put_aside(place: Path) -> None:
    """Out of the way, under a name that nothing reads."""
    aside = place.parent / "quarantine"
    aside.mkdir(exist_ok=True)
    place.rename(aside / f"{place.name}.{time.time_ns()}")


def _is_whole(place: Path, set_aside: SetAside, identity: str, step: int) -> bool:
    if disk.whole(place, identity=identity, step=step) is not None:
        return True
    set_aside(place)
    return False


def _states(folder: Path) -> list[Path]:
    return sorted((folder / "state").glob("step-*"))


def _commit(place: Path, write: Callable[[Path], None], identity: str, step: int) -> None:
    """Write a draft, sync it, and give it its name. Whoever was first wins: the content is the same."""
    draft = place.with_name(f".draft-{place.name}.{owners.me()}.{time.monotonic_ns()}")
    try:
        with disk.writing(place.name, place.parent):
            place.parent.mkdir(exist_ok=True)  # and not what it lies in: a store that is gone is not made anew
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
    try:
        write(draft)
    except SafetensorError as error:  # an error of the disk, in the words of another language
        raise OSError(str(error)) from error
    disk.list_files(draft, {"identity": identity, "step": step})
    for path in (*draft.iterdir(), draft):
        disk.sync(path)
