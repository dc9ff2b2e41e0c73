"""The scripts that a competent user would write around lm_eval and Trainer: one process a model, one a tuning.

    python benchmarks/glue.py score ORDER.json    every request of one model in one process, caches on
    python benchmarks/glue.py train ORDER.json    one tuning, saved as a folder

An order names its files; results are written as JSON, with the CPU seconds until the model was loaded. lm_eval is
called by its Python interface, which spares the user the eight seconds in which its command line lists all tasks.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def score(order: dict[str, Any]) -> dict[str, Any]:
    """Log-likelihood of every (context, continuation), text after every prompt."""
    from lm_eval.api.instance import Instance

    import peers

    lm = peers.hflm(Path(order["model"]), "float32", order["batch"])
    loaded = time.process_time()
    asked = [Instance("loglikelihood", {}, tuple(pair), i) for i, pair in enumerate(order["scored"])]
    spoken = [Instance("generate_until", {}, (text, until), i) for i, (text, until) in enumerate(order["spoken"])]
    sums = [value for value, _ in lm.loglikelihood(asked, disable_tqdm=True)] if asked else []
    texts = lm.generate_until(spoken, disable_tqdm=True) if spoken else []
    return {"sums": sums, "texts": texts, "loaded": loaded}


def train(order: dict[str, Any]) -> dict[str, Any]:
    """One full tuning on ready ids."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import peers
    from amuro.core.types import Recipe

    peers.quiet()
    model = AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32)
    recipe = Recipe(**order["recipe"])
    clock = peers.Clock()
    loaded = time.process_time()
    peers.train(model, order["sequences"], recipe, order["rate"], False, clock)
    model.save_pretrained(order["out"])
    AutoTokenizer.from_pretrained(order["model"]).save_pretrained(order["out"])
    return {"loaded": loaded, "steps": len(clock.ends)}


def main() -> None:
    import torch

    torch.set_num_threads(1)
    part, place = sys.argv[1], Path(sys.argv[2])
    order = json.loads(place.read_text(encoding="utf-8"))
    done = {"score": score, "train": train}[part](order)
    place.with_suffix(".done").write_text(json.dumps(done | {"all": time.process_time()}), encoding="utf-8")


if __name__ == "__main__":
    main()
