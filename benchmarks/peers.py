"""The other side: lm_eval's `hf` model and transformers' Trainer, set up as their users do."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from side_by_side import Done

if TYPE_CHECKING:
    from amuro.core.requests import RequestBatch
    from amuro.core.types import Recipe
    from amuro.engine.base import Sequences


@dataclass
class Clock:
    """CPU time and loss at the end of each step."""

    ends: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def tick(self, loss: float) -> None:
        self.ends.append(time.process_time())
        self.losses.append(loss)

    def done(self) -> Done:
        """What lies between the end of the first step and the end of the last."""
        return Done(len(self.ends) - 1, self.ends[-1] - self.ends[0])


def quiet() -> None:
    """No warnings and no progress bars."""
    from transformers.utils import logging as transformers_logging

    logging.disable(logging.WARNING)
    transformers_logging.disable_progress_bar()


def hflm(folder: Path, dtype: str, batch_size: int) -> Any:
    """lm_eval's model on the weights of `folder`, its one-token cache on."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    return around(model.eval(), AutoTokenizer.from_pretrained(folder), batch_size)


def exact(folder: Path, request_batch: RequestBatch) -> list[tuple[float, ...]]:
    """What amuro and lm_eval compute in float32, in float64."""
    import torch
    from transformers import AutoModelForCausalLM

    quiet()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")
    return sums_alone(model.eval(), request_batch)


def sums_alone(model: Any, request_batch: RequestBatch) -> list[tuple[float, ...]]:
    """The summed log-probability of every option, read alone after its prompt; in float32 at the least."""
    import torch

    def sum_of(prompt: tuple[int, ...], option: tuple[int, ...]) -> float:
        ids = torch.tensor([[*prompt, *option]], device=model.device)
        logits = model(ids).logits[0, -len(option) - 1 : -1]
        nats = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
        return float(nats.gather(1, ids[0, -len(option) :, None]).double().sum())

    with torch.no_grad():
        return [
            tuple(sum_of(request_batch.prefix + request.context, option) for option in request.options)
            for request in request_batch.requests
        ]


def around(model: Any, tokenizer: Any, batch_size: int) -> Any:
    """lm_eval's model around one that is in memory."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, max_length=2048, logits_cache=True)


def trainer(
    model: Any,
    sequences: Sequences,
    recipe: Recipe,
    rate: float,
    folder: Path,
    bf16: bool,
    arguments: Mapping[str, Any],
    **more: Any,
) -> Any:
    """Transformers' Trainer on ready ids in their order, with what `recipe` means and further `arguments`."""
    import torch
    from transformers import Trainer, TrainingArguments

    steps = -(-len(sequences) // recipe.batch_size)
    chosen: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": recipe.batch_size,
        "num_train_epochs": 1,
        "learning_rate": rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": math.ceil(recipe.warmup_ratio * steps),
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "optim": "adamw_torch_fused",
        "train_sampling_strategy": "sequential",
        "bf16": bf16,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
    }
    settings = TrainingArguments(**(chosen | dict(arguments)))
    data: Any = [list(dialogue) for dialogue in sequences]
    torch.manual_seed(0)
    return Trainer(model=model, args=settings, train_dataset=data, data_collator=padded_batch, **more)


def padded_batch(dialogues: Sequence[Sequence[Sequence[int]]]) -> dict[str, Any]:
    """Ids padded on the right; a label wherever an answer stands."""
    import torch

    rows = [[token for part in dialogue for token in part] for dialogue in dialogues]
    labels = [[t if turn % 2 else -100 for turn, part in enumerate(d) for t in part] for d in dialogues]
    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        "labels": torch.tensor([row + [-100] * (longest - len(row)) for row in labels]),
    }


def train(
    model: Any, sequences: Sequences, recipe: Recipe, rate: float, bf16: bool, clock: Clock, **arguments: Any
) -> None:
    """Runs Trainer; `clock.tick(loss)` is called at the end of each step (the loss is NaN unless it is logged)."""
    from transformers import PrinterCallback, TrainerCallback

    class Tick(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick(math.nan)

        def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                clock.losses[-1] = logs["loss"]

    with tempfile.TemporaryDirectory() as folder:
        found = trainer(model, sequences, recipe, rate, Path(folder), bf16, callbacks=[Tick()], arguments=arguments)
        found.remove_callback(PrinterCallback)
        found.train()
