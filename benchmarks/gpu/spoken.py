"""Greedy generation beside the `generate` of transformers, both in bfloat16; the same texts in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

import generation
import material
from amuro.core.requests import RequestBatch
from gpu.bench import Bench, Jobs
from gpu.clock import Facts, best_batch, timed
from gpu.scored import first

KINDS = {"short prompts": generation.SHORT, "long prompts": generation.LONG}
CHECKED = 16
"""Prompts whose float32 texts are compared."""


def spoken(bench: Bench) -> Jobs:
    for kind in bench.scale.spoken:
        yield f"{kind}, amuro", partial(_ours, bench, kind)
        yield f"{kind}, generate", partial(_theirs, bench, kind)
        yield f"{kind}, equality", partial(_equality, bench, kind)


def prompts(bench: Bench, kind: str) -> RequestBatch:
    """Nothing stops a text early, so that both sides say as many tokens."""
    request_batch = material.synthetic_ask(kind, KINDS[kind], bench.scale.prompts, "bfloat16", bench.scale.new_tokens)
    return replace(request_batch, stop=())


def spelled(ids: Sequence[int]) -> str:
    """A decoder that costs nothing."""
    return " ".join(map(str, ids))


def _ours(bench: Bench, kind: str) -> Facts:
    engine, request_batch = bench.engines["bfloat16"], prompts(bench, kind)
    longest = replace(
        request_batch,
        requests=tuple(replace(q, options=((0,) * request_batch.max_new_tokens,)) for q in request_batch.requests),
    )
    flops = material.needed_flops(longest, bench.model, engine.flops_per_token())
    seconds, facts = timed(bench.scale, lambda: engine.generate(request_batch, spelled))
    rows = len(request_batch.requests) / seconds
    return {
        "rows_s": rows,
        "tokens_s": rows * request_batch.max_new_tokens,
        "of_matmul": flops / seconds / bench.rate,
        **facts,
    }


def _theirs(bench: Bench, kind: str) -> Facts:
    """At the best batch size."""
    request_batch = prompts(bench, kind)
    their_texts(bench.half, first(request_batch, 8), 8)  # warms up
    batch, tried = best_batch(bench.device, bench.scale.batches[1:], partial(their_texts, bench.half, request_batch))
    seconds, facts = timed(bench.scale, lambda: their_texts(bench.half, request_batch, batch), warm=True)
    return {"rows_s": len(request_batch.requests) / seconds, **tried, **facts}


def _equality(bench: Bench, kind: str) -> Facts:
    """How many texts are identical."""
    bench.reset()
    request_batch = first(prompts(bench, kind), CHECKED)
    ours = [said.text for said in bench.engines["float32"].generate(request_batch, spelled)]
    theirs = their_texts(bench.model, request_batch, CHECKED)
    return {"identical": sum(a == b for a, b in zip(ours, theirs, strict=True)), "of": len(ours)}


def their_texts(model: Any, request_batch: RequestBatch, batch: int) -> list[str]:
    """Rows of like length together, padded on the left; nothing is cut at a stop."""
    texts = [""] * len(request_batch.requests)
    order = sorted(range(len(texts)), key=lambda index: -len(request_batch.requests[index].context))
    for begin in range(0, len(order), batch):
        chosen = order[begin : begin + batch]
        rows = [
            torch.tensor([*request_batch.prefix, *request_batch.requests[index].context], device=model.device)
            for index in chosen
        ]
        ids, mask = (pad_sequence(each, True, 0, "left") for each in (rows, [torch.ones_like(row) for row in rows]))
        settings = {"max_new_tokens": request_batch.max_new_tokens, "do_sample": False, "pad_token_id": 0}
        with torch.no_grad():
            whole = model.generate(ids, attention_mask=mask, **settings)
        for index, said in zip(chosen, whole[:, ids.shape[1] :].tolist(), strict=True):
            texts[index] = spelled(said)
    return texts
