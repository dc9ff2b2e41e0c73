"""Files of a pre-training run, each whole or absent: a draft beside it, synced, then one rename."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from amuro.engine.vocabulary import EOS, PAD

KEPT_STATES = 2


def step_folder(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def exists(folder: Path, step: int) -> bool:
    return (step_folder(folder, step) / "model.safetensors").is_file()


def publish(folder: Path, step: int, model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """An ordinary Hugging Face folder: `from_pretrained` of any tool reads it."""

    def write(draft: Path) -> None:
        untyped: Any = transformers_logging
        untyped.disable_progress_bar()  # a bar for one file of a megabyte
        model.save_pretrained(draft)
        fast: Any = PreTrainedTokenizerFast
        fast(tokenizer_object=tokenizer, bos_token=EOS, eos_token=EOS, pad_token=PAD).save_pretrained(draft)

    _commit(step_folder(folder, step), write)


def save_state(folder: Path, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """What the next step depends on; only the last two states are kept."""

    def write(draft: Path) -> None:
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, draft / "tensors.safetensors"
        )
        (draft / "facts.json").write_text(json.dumps(facts), encoding="utf-8")

    place = folder / "state" / f"step-{facts['step']:08d}"
    if not place.exists():
        _commit(place, write)
    for old in _states(folder)[:-KEPT_STATES]:
        shutil.rmtree(old)


def latest_state(folder: Path, digest: str, before: int) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """(facts, tensors) of the latest state of that configuration at or below step `before`."""
    for place in reversed(_states(folder)):
        facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
        if facts["digest"] == digest and facts["step"] <= before:
            return facts, load_file(place / "tensors.safetensors")
    return None


def _states(folder: Path) -> list[Path]:
    return sorted((folder / "state").glob("step-*"))


def _commit(place: Path, write: Callable[[Path], None]) -> None:
    """Write a draft, sync it, and give it its name. Whoever was first wins: the content is the same."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f".draft-{place.name}-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    write(draft)
    for path in (*draft.iterdir(), draft):
        _sync(path)
    try:
        draft.rename(place)
    except OSError:
        if not place.exists():
            raise
        shutil.rmtree(draft)
    _sync(place.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
