"""A Hugging Face folder → a network whose weights are known to be the files'."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.core_model_loading import revert_weight_conversion
from transformers.utils import logging as transformers_logging

from amuro.core.errors import WeightsError
from amuro.core.safetensors_header import read_header
from amuro.core.weights import weight_files
from amuro.engine._probe import tried
from amuro.engine._window import tokenizer_limit
from amuro.engine.forward.causal_lm import KNOWN, Network
from amuro.engine.forward.fused_norms import hasten_norms
from amuro.engine.forward.packed_attention import NAME

_CURE = "fetch or save it again"
_COMPUTED = (r"rotary_emb\.inv_freq$", r"(^|\.)position_ids$")
"""Tensors that older checkpoints hold and models compute; what else a model needs none of, its class says."""


def load_network(folder: Path, precision: str, device: str) -> Network:
    """Load the model of `folder` in float32 and check every tensor against the files.

    Raises WeightsError where files, tensors or values are missing, left over, damaged or not finite.
    """
    files = weight_files(folder)
    for file in files:
        read_header(file)
    _silence()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told of, and refused here by name
        )
    except MemoryError:
        raise
    except Exception as error:  # whatever a configuration can make transformers raise
        reason = next(iter(str(error).strip().splitlines()), "")[:200]
        raise WeightsError(f"{folder} cannot be loaded ({type(error).__name__}: {reason})", _CURE) from error
    model, told = loaded
    check_against_files(model, told, files, folder)
    if model.config.model_type in KNOWN:
        model.set_attn_implementation(NAME)
        hasten_norms(model)
    network = Network(model.eval().to(device), precision, torch.device(device), tokenizer_limit(folder))
    return network if model.config.model_type in KNOWN else tried(network, folder)


def check_against_files(model: Any, told: Mapping[str, Any], files: tuple[Path, ...], folder: Path) -> None:
    """Refuse a model unless its tensors are those of the files, all of them, and finite.

    told: what transformers says of the loading. It fills a tensor that it does not find with random numbers, leaves
    out one that the model does not take, and only warns. That is not all it knows to leave unsaid: it expects some
    tensors to be missing or left over. So what the model would save is compared with the files as well, both ways.
    """
    _refuse_told(told, folder)
    for name, tensor in live_tensors(model).items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"tensor '{name}' in {folder} holds NaN or infinity", _CURE)
    saved = {name: tensor for file in files for name, tensor in load_file(file).items()}
    written = saved_tensors(model)
    for name in written.keys() & saved.keys():
        if not _same(saved[name], written[name]):
            raise WeightsError(f"tensor '{name}' in {folder} was not loaded as it was saved", _CURE)
    _refuse_missing(written, saved, folder)
    _refuse_left_over(model, written, saved, folder)


def _refuse_told(told: Mapping[str, Any], folder: Path) -> None:
    """Refuse what transformers itself reports, by the first name of its kind."""
    for name, here, there in sorted(told["mismatched_keys"]):
        shapes = f"has the shape {_by(here)}, the model of its config.json {_by(there)}"
        raise WeightsError(f"tensor '{name}' in {folder} {shapes}", "put the config.json there that it was saved with")
    for name in sorted(told["missing_keys"]):
        raise WeightsError(f"the files in {folder} hold no tensor '{name}'", _CURE)
    for name in sorted(told["unexpected_keys"]):
        raise _left_over(name, folder)


def _refuse_missing(written: Mapping[str, Tensor], saved: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse a tensor of the model that stands in no file under its name or another: names differ where a checkpoint
    was saved without its head (`wte` for `transformer.wte`), or where the other name of a tied tensor was saved.
    """
    others = [tensor for name, tensor in saved.items() if name not in written]
    for name in sorted(written.keys() - saved.keys()):
        if not any(_same(other, written[name]) for other in others):
            raise WeightsError(f"the files in {folder} hold no tensor '{name}'", _CURE)


def _refuse_left_over(model: Any, written: Mapping[str, Tensor], saved: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse a tensor of the files that the model does not hold, unless its class says that it needs none such."""
    known = [re.compile(pattern) for pattern in (*(model._keys_to_ignore_on_load_unexpected or ()), *_COMPUTED)]
    for name in sorted(saved.keys() - written.keys()):
        held = any(_same(saved[name], tensor) for tensor in written.values())
        if not held and not any(pattern.search(name) for pattern in known):
            raise _left_over(name, folder)


def _left_over(name: str, folder: Path) -> WeightsError:
    what = f"the files in {folder} hold a tensor '{name}' that the model of its config.json does not take"
    return WeightsError(what, "put the config.json there that these weights were saved with")


def _by(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def saved_tensors(model: Any) -> Mapping[str, Tensor]:
    """Name in a file → tensor, tied tensors once, as `save_pretrained` would write them: experts that are one tensor in
    memory stand apart.
    """
    untyped: Any = revert_weight_conversion
    tensors: Mapping[str, Tensor] = untyped(model, dict(live_tensors(model)))
    return tensors


def live_tensors(model: Any) -> Mapping[str, Tensor]:
    """Name → tensor, tied tensors once."""
    names: dict[int, str] = {}
    tensors = model.state_dict(keep_vars=True)
    for name, tensor in tensors.items():
        names.setdefault(id(tensor), name)
    return {name: tensors[name].detach() for name in names.values()}


def _same(saved: Tensor, loaded: Tensor) -> bool:
    return saved.shape == loaded.shape and torch.equal(saved.to(loaded.dtype), loaded)


def _silence() -> None:
    """No warnings about tensors (they are refused here) and no progress bars from transformers."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    untyped: Any = transformers_logging
    untyped.disable_progress_bar()
