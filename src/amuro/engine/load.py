"""A Hugging Face folder → a network whose weights are known to be the files'."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from amuro.engine.attention import NAME
from amuro.engine.network import KNOWN, Network
from amuro.engine.norms import hasten_norms
from amuro.errors import WeightsError
from amuro.safetensors_header import read_header
from amuro.weights import weight_files

_CURE = "fetch or save it again"


def load_network(folder: Path, precision: str, device: str) -> Network:
    """Load the model of `folder` in float32 and check every tensor against the files.

    Raises WeightsError where files, tensors or values are missing, damaged or not finite.
    """
    files = weight_files(folder)
    for file in files:
        read_header(file)
    _silence()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise WeightsError(f"the model in {folder} cannot be loaded: {reason}", _CURE) from error
    check_against_files(model, files, folder)
    if model.config.model_type in KNOWN:
        model.set_attn_implementation(NAME)
        hasten_norms(model)
    return Network(model.eval().to(device), precision, torch.device(device))


def check_against_files(model: Any, files: tuple[Path, ...], folder: Path) -> None:
    """Refuse a model that holds a tensor which is not in the files, or one with a number that is not finite.

    transformers fills a tensor that it does not find with random numbers and only warns. It also reads some tensors
    under another name (`embed_out` of GPT-NeoX as `lm_head`), so a name that is not there is looked up by content.
    """
    saved = {name: tensor for file in files for name, tensor in load_file(file).items()}
    nameless = []
    for names, tensor in _tensors(model):
        name = next((name for name in names if name in saved), None)
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"tensor '{name or names[0]}' in {folder} holds NaN or infinity", _CURE)
        if name is None:
            nameless.append((names[0], tensor))
        elif not _same(saved.pop(name), tensor):
            raise WeightsError(f"tensor '{name}' in {folder} was not loaded as it was saved", _CURE)
    for name, tensor in nameless:
        if not any(_same(left, tensor) for left in saved.values()):
            raise WeightsError(f"the files in {folder} hold no tensor '{name}'", _CURE)


def live_tensors(model: Any) -> Mapping[str, Tensor]:
    """Name → tensor, tied tensors once."""
    return {names[0]: tensor.detach() for names, tensor in _tensors(model)}


def _tensors(model: Any) -> Iterator[tuple[list[str], Tensor]]:
    """(all names of a tensor, the tensor): tied weights are one tensor with several names."""
    names: dict[int, list[str]] = {}
    tensors = model.state_dict(keep_vars=True)
    for name, tensor in tensors.items():
        names.setdefault(id(tensor), []).append(name)
    for group in names.values():
        yield group, tensors[group[0]]


def _same(saved: Tensor, loaded: Tensor) -> bool:
    return saved.shape == loaded.shape and torch.equal(saved.to(loaded.dtype), loaded)


def _silence() -> None:
    """No warnings about tensors (they are checked here) and no progress bars from transformers."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    untyped: Any = transformers_logging
    untyped.disable_progress_bar()
