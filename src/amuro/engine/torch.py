"""The engine with weights: loads a checkpoint and hands it to the rooms beside it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from amuro.core.errors import AmuroError, StudyError, WeightsError
from amuro.core.hashing import digest
from amuro.core.types import Checkpoint, Generation, Model, RequestBatch, Training
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
    """Raises StudyError where torch does not see it."""
    number = int(device.partition(":")[2] or 0)
    if device != "cpu" and number >= torch.cuda.device_count():
        raise StudyError(f"device '{device}' is not here", "say cpu, or cuda where torch sees a GPU")


class TorchEngine:
    """An `Engine` on transformers models. One checkpoint is live; its own weights are kept beside it in memory."""

    def __init__(self, precision: str, device: str, threads: int) -> None:
        """Precision: float32, or bfloat16 by autocast. Device: cpu or cuda. Threads: of one operation on the CPU.

        Raises AmuroError where precision or device are not to be had.
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
        """What is merged into the live weights; None where they are the checkpoint's own or tuned fully."""
        self._batch_cache = BatchCache()

    def load(self, checkpoint: Checkpoint, folder: Path | None) -> None:
        """Load the weights of `checkpoint` and check them against the files. Raises WeightsError."""
        if folder is None:
            raise WeightsError(f"{checkpoint.address} has no folder of weights", "use the toy engine for this series")
        self._network, self._base, self._adapter = None, {}, None
        network = load_network(folder, self.precision, self.device)
        self._network, self._folder = network, folder
        self._base = self._copy()

    def reset(self) -> None:
        """Copy the loaded checkpoint's own weights back into the live model."""
        self.restore(self._base)

    def keep(self) -> Adapter | Mapping[str, Tensor]:
        """The adapter that is merged into the live weights, or else a copy of them in memory."""
        return self._adapter or self._copy()

    def restore(self, kept: Adapter | Mapping[str, Tensor]) -> None:
        """Copy kept weights into the live model, or the checkpoint's own with the kept adapter."""
        adapter = kept if isinstance(kept, Adapter) else None
        live = live_tensors(self._live().model)
        with torch.no_grad():
            for name, tensor in (self._base if isinstance(kept, Adapter) else kept).items():
                live[name].copy_(tensor)
        if adapter is not None:
            adapter.merge(self._live().model)
        self._adapter = adapter

    def _copy(self) -> Mapping[str, Tensor]:
        return {name: tensor.clone() for name, tensor in live_tensors(self._live().model).items()}

    def tune(self, sequences: Sequences, model: Model, learning_rate: float, on_step: OnStep) -> Training:
        """Tune from the loaded checkpoint's weights, fully or by an adapter that is merged at the end."""
        self.reset()
        if not model.is_low_rank:
            return finetune(self._live(), sequences, model, learning_rate, on_step)
        training, adapter = finetune_adapter(self._live(), sequences, model, learning_rate, on_step)
        self.restore(adapter)
        return training

    def score(self, request_batch: RequestBatch) -> list[tuple[float, ...]]:
        """See `engine.score`."""
        return score(self._live(), request_batch, self._batch_cache)

    def generate(self, request_batch: RequestBatch, decode: Decode) -> list[Generation]:
        """See `engine.generate`."""
        return generate(self._live(), request_batch, decode)

    def weights_digest(self) -> str:
        """Digest of the live tensors: what `identity.tensor_digest` says of the folder that `save` writes."""
        saved = saved_tensors(self._live().model)
        return digest({name: digest(["F32", list(tensor.shape), _sha256(tensor)]) for name, tensor in saved.items()})

    def save(self, folder: Path) -> None:
        """Write the live weights (safetensors, float32) with config and tokenizer files."""
        self._live().model.save_pretrained(folder)
        for name in _TOKENIZER_FILES:
            if (self._folder / name).is_file():
                shutil.copyfile(self._folder / name, folder / name)

    def flops_per_token(self) -> float:
        """2 × the parameters that a token is multiplied with: all matrices but the input embedding, and the head."""
        model = self._live().model
        matrices = {id(p): p.numel() for p in model.parameters() if p.ndim > 1}
        matrices.pop(id(model.get_input_embeddings().weight), None)
        head = model.get_output_embeddings().weight
        matrices[id(head)] = head.numel()
        return 2.0 * float(sum(matrices.values()))

    def remarks(self) -> Sequence[str]:
        """Which prompts are read row by row, and where transformers' own tokenizer gives other ids; usually nothing."""
        return tuple(filter(None, (self._live().remark(), _tokenizer_check.remark(self._folder))))

    def context_length(self) -> int:
        """Most tokens that the model was made to read at once."""
        return self._live().context_length

    def _live(self) -> Network:
        if self._network is None:
            raise AmuroError("the engine holds no model", "call load first")
        return self._network


def _sha256(tensor: Tensor) -> str:
    return sha256(tensor.cpu().contiguous().numpy().data).hexdigest()
