"""Low-rank adapters: injected before tuning, merged into the weights after it."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from amuro.types import Recipe


def add_adapters(model: Any, recipe: Recipe, tune_seed: int) -> PeftModel:
    """Freeze the weights and put trainable adapters beside every linear layer of the body, in place, without dropout
    (all layers, as arXiv 2405.09673 §3; rank and alpha are the recipe's).

    `tune_seed` draws their first halves; the second halves are zero, so nothing changes before the first step.
    """
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is going away
        torch.manual_seed(tune_seed)
        return get_peft_model(model, config)


def merge_adapters(adapted: PeftModel) -> None:
    """Add the adapters to the weights and take them out: the model is an ordinary one again."""
    adapted.merge_and_unload().requires_grad_(True)
