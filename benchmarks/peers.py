"""The other side: lm_eval's `hf` model, set up as its users do."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any


def hflm(folder: Path, dtype: str, batch_size: int) -> Any:
    """lm_eval's model on the weights of `folder`, its one-token cache on."""
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    logging.disable(logging.WARNING)
    transformers_logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    return HFLM(
        pretrained=model.eval(),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        batch_size=batch_size,
        max_length=2048,
        logits_cache=True,
    )
