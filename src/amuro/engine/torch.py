"""The engine for real weights: it loads a checkpoint and runs scoring, generation and tuning on it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from amuro.core.errors import AmuroError, StudyError, WeightsError
from amuro.core.hashing import digest
from amuro.core.requests import Generation, RequestBatch, Training
from amuro.core.types import Checkpoint, Model
from amuro.engine import _tokenizer_check
from amuro.engine._load import live_tensors, load_network, saved_tensors
from amuro.engine.base import Decode, OnStep, Sequences
from amuro.engine.forward.causal_lm import Network
from amuro.engine.inference.batching import BatchCache
from amuro.engine.inference.generate import generate
from amuro.engine.inference.loglikelihood import score
from amuro.engine.training.finetune import finetune, finetune_adapter
from amuro.engine.training.lora import Adapter

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def check_device(device: str) -> None:
    """Raise StudyError where torch does not see the device (`cpu`, `cuda` or `cuda:N`)."""
    number = int(device.partition(":")[2] or 0)
    if device != "cpu" and number >= torch.cuda.device_count():
        raise StudyError(f"device '{device}' is not here", "say cpu, or cuda where torch sees a GPU")


class TorchEngine:
    """An `Engine` on transformers models. It holds one model, and a copy of its checkpoint's weights for `reset`."""

    def __init__(self, precision: str, device: str, threads: int) -> None:
        """Set up an engine without a model.

        precision: float32, or bfloat16 by autocast. device: cpu or cuda. threads: CPU threads of torch.
        Raises AmuroError where precision or device are not available.
        """
        if precision not in ("float32", "bfloat16"):
            raise AmuroError(f"precision '{precision}' is not known", "say float32 or bfloat16")
        check_device(device)
        torch.set_num_threads(threads)
        self.precision = precision
        self.device = device
        self._network: Network | None = None
        self._folder = Path()
        self._base: Mapping[str, Tensor] = {}
        self._adapter: Adapter | None = None
        """The adapter that is merged into the current weights; None: they are the checkpoint's own, or fully tuned."""
        self._batch_cache = BatchCache()

    def load(self, checkpoint: Checkpoint, folder: Path | None) -> None:
        """Load the weights of `checkpoint` from `folder`. Raises WeightsError as `load_network` does."""
        if folder is None:
            raise WeightsError(f"{checkpoint.address} has no folder of weights", "use the toy engine for this series")
        self._network, self._base, self._adapter = None, {}, None
        network = load_network(folder, self.precision, self.device)
        self._network, self._folder = network, folder
        self._base = self._copy()

    def reset(self) -> None:
        """Set the model's weights back to those of the loaded checkpoint."""
        self.restore(self._base)

    def keep(self) -> Adapter | Mapping[str, Tensor]:
        """The merged adapter if there is one, else a copy of the current weights; for `restore`."""
        return self._adapter or self._copy()

    def restore(self, kept: Adapter | Mapping[str, Tensor]) -> None:
        """Set the model's weights to kept ones, or to the checkpoint's own with the kept adapter merged."""
        adapter = kept if isinstance(kept, Adapter) else None
        live = live_tensors(self._live().model)
        with torch.no_grad():
            for name, tensor in (self._base if isinstance(kept, Adapter) else kept).items():
                live[name].copy_(tensor)
        if adapter is not None:
            adapter.merge(self._live().model)
        self._adapter = adapter

    def _copy(self) -> Mapping[str, Tensor]:
        """Name → copy of each current weight."""
        return {name: tensor.clone() for name, tensor in live_tensors(self._live().model).items()}

    def tune(self, sequences: Sequences, model: Model, learning_rate: float, on_step: OnStep) -> Training:
        """Tune from the loaded checkpoint's weights, fully or by an adapter that is merged at the end.

        Returns the facts of the training. Raises AmuroError as `finetune` does.
        """
        self.reset()
        if not model.is_low_rank:
            return finetune(self._live(), sequences, model, learning_rate, on_step)
        training, adapter = finetune_adapter(self._live(), sequences, model, learning_rate, on_step)
        self.restore(adapter)
        return training

    def score(self, request_batch: RequestBatch) -> list[tuple[float, ...]]:
        """See `inference.loglikelihood.score`."""
        return score(self._live(), request_batch, self._batch_cache)

    def generate(self, request_batch: RequestBatch, decode: Decode) -> list[Generation]:
        """See `inference.generate.generate`."""
        return generate(self._live(), request_batch, decode)

    def weights_digest(self) -> str:
        """Digest of the current weights; equals `core.hashing.tensor_digest` of the folder that `save` writes."""
        saved = saved_tensors(self._live().model)
        return digest({name: digest(["F32", list(tensor.shape), _sha256(tensor)]) for name, tensor in saved.items()})

    def save(self, folder: Path) -> None:
        """Write the current weights (safetensors, float32) with the checkpoint's config and tokenizer files."""
        self._live().model.save_pretrained(folder)
        for name in _TOKENIZER_FILES:
            if (self._folder / name).is_file():
                shutil.copyfile(self._folder / name, folder / name)

    def flops_per_token(self) -> float:
        """Forward FLOPs per token: 2 × the parameters of the head and of all matrices but the input embedding."""
        model = self._live().model
        matrices = {id(p): p.numel() for p in model.parameters() if p.ndim > 1}
        matrices.pop(id(model.get_input_embeddings().weight), None)
        head = model.get_output_embeddings().weight
        matrices[id(head)] = head.numel()
        return 2.0 * float(sum(matrices.values()))

    def remarks(self) -> Sequence[str]:
        """Sentences for users: prompts that run row by row, and a differing tokenizer of transformers; usually none."""
        return tuple(filter(None, (self._live().remark(), _tokenizer_check.remark(self._folder))))

    def context_length(self) -> int:
        """Maximum number of tokens of one sequence, prompt and answer together."""
        return self._live().context_length

    def _live(self) -> Network:
        """The loaded network. Raises AmuroError before `load`."""
        if self._network is None:
            raise AmuroError("the engine holds no model", "call load first")
        return self._network


def _sha256(tensor: Tensor) -> str:
    """Hexadecimal sha256 of the tensor's bytes."""
    return sha256(tensor.cpu().contiguous().numpy().data).hexdigest()
