"""Loading of a Hugging Face folder as a `Network`, with every tensor compared with the files."""

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
"""Name patterns of tensors that older checkpoints hold although models compute them. Further ones are listed by the
model's class (`_keys_to_ignore_on_load_unexpected`).
"""


def load_network(folder: Path, precision: str, device: str) -> Network:
    """Load the model of `folder` in float32 and check every tensor against the files.

    precision, device: as in `TorchEngine`. Raises WeightsError where files or tensors are missing, superfluous or
    damaged, or a value is not finite.
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
            ignore_mismatched_sizes=True,  # they are listed in the loading info, and refused below by name
        )
    except MemoryError:
        raise
    except Exception as error:  # a config.json can make transformers raise errors of any class
        reason = next(iter(str(error).strip().splitlines()), "")[:200]
        raise WeightsError(f"{folder} cannot be loaded ({type(error).__name__}: {reason})", _CURE) from error
    model, loading_info = loaded
    check_against_files(model, loading_info, files, folder)
    if model.config.model_type in KNOWN:
        model.set_attn_implementation(NAME)
        hasten_norms(model)
    network = Network(model.eval().to(device), precision, torch.device(device), tokenizer_limit(folder))
    return network if model.config.model_type in KNOWN else tried(network, folder)


def check_against_files(model: Any, loading_info: Mapping[str, Any], files: tuple[Path, ...], folder: Path) -> None:
    """Raise WeightsError unless the model's tensors are exactly those of the files, and finite.

    loading_info: the report of `from_pretrained`. transformers initialises a missing tensor at random, ignores a
    superfluous one, and only warns; and for some tensors its report is silent. So the tensors that the model would
    save are also compared with those in the files, in both directions.
    """
    _refuse_reported(loading_info, folder)
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


def _refuse_reported(loading_info: Mapping[str, Any], folder: Path) -> None:
    """Raise WeightsError on a tensor that transformers reports as mismatched, missing or unexpected."""
    for name, saved_shape, model_shape in sorted(loading_info["mismatched_keys"]):
        shapes = f"has the shape {_by(saved_shape)}, the model of its config.json {_by(model_shape)}"
        raise WeightsError(f"tensor '{name}' in {folder} {shapes}", "put the config.json there that it was saved with")
    for name in sorted(loading_info["missing_keys"]):
        raise WeightsError(f"the files in {folder} hold no tensor '{name}'", _CURE)
    for name in sorted(loading_info["unexpected_keys"]):
        raise _left_over(name, folder)


def _refuse_missing(written: Mapping[str, Tensor], saved: Mapping[str, Tensor], folder: Path) -> None:
    """Raise WeightsError on a tensor of the model that is in no file, under its own name or another.

    Names differ where a checkpoint was saved without its head (`wte` for `transformer.wte`), or where a tied tensor
    was saved under its other name.
    """
    others = [tensor for name, tensor in saved.items() if name not in written]
    for name in sorted(written.keys() - saved.keys()):
        if not any(_same(other, written[name]) for other in others):
            raise WeightsError(f"the files in {folder} hold no tensor '{name}'", _CURE)


def _refuse_left_over(model: Any, written: Mapping[str, Tensor], saved: Mapping[str, Tensor], folder: Path) -> None:
    """Raise WeightsError on a tensor of the files that the model does not hold, unless it is one to ignore."""
    known = [re.compile(pattern) for pattern in (*(model._keys_to_ignore_on_load_unexpected or ()), *_COMPUTED)]
    for name in sorted(saved.keys() - written.keys()):
        in_model = any(_same(saved[name], tensor) for tensor in written.values())
        if not in_model and not any(pattern.search(name) for pattern in known):
            raise _left_over(name, folder)


def _left_over(name: str, folder: Path) -> WeightsError:
    """The error for a tensor of the files that the model does not have."""
    what = f"the files in {folder} hold a tensor '{name}' that the model of its config.json does not take"
    return WeightsError(what, "put the config.json there that these weights were saved with")


def _by(shape: Sequence[int]) -> str:
    """A shape as text, such as 512×64."""
    return "×".join(map(str, shape))


def saved_tensors(model: Any) -> Mapping[str, Tensor]:
    """Name in a file → tensor, as `save_pretrained` would write them.

    Tied tensors appear once; experts that are fused into one tensor in memory appear separately.
    """
    untyped: Any = revert_weight_conversion
    tensors: Mapping[str, Tensor] = untyped(model, dict(live_tensors(model)))
    return tensors


def live_tensors(model: Any) -> Mapping[str, Tensor]:
    """Name in the model → its tensor, detached but not copied; tied tensors appear once."""
    names: dict[int, str] = {}
    tensors = model.state_dict(keep_vars=True)
    for name, tensor in tensors.items():
        names.setdefault(id(tensor), name)
    return {name: tensors[name].detach() for name in names.values()}


def _same(saved: Tensor, loaded: Tensor) -> bool:
    """Whether two tensors have the same shape and values, after conversion of the saved one to the loaded dtype."""
    return saved.shape == loaded.shape and torch.equal(saved.to(loaded.dtype), loaded)


def _silence() -> None:
    """Turn off transformers' progress bars, and its warnings about tensors (such tensors are refused here)."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    untyped: Any = transformers_logging
    untyped.disable_progress_bar()
