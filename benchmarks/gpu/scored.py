"""Scoring beside lm_eval's `hf` model, both in bfloat16, and how far both are from float32."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

import material
import peers
import scoring
from amuro.core.requests import RequestBatch
from gpu.bench import Bench, Jobs
from gpu.clock import Facts, best_batch, timed
from gpu.equal import apart
from scoring import Sums

KINDS = {
    "labels": material.LABELS,
    "options": material.OPTIONS,
    "long endings": material.ENDINGS,
    "long context": material.LONG,
}
CHECKED = 64
"""Documents whose bfloat16 sums are held against float32."""
CHECKED_WHOLE = 8
"""Documents whose float32 sums are held against lm_eval's."""


def scored(bench: Bench) -> Jobs:
    for kind in bench.scale.scored:
        yield f"{kind}, amuro", partial(_ours, bench, kind)
        yield f"{kind}, lm_eval", partial(_theirs, bench, kind)
        yield f"{kind}, distance", partial(_distance, bench, kind)


def questions(bench: Bench, kind: str) -> RequestBatch:
    """As many documents as the largest pass takes."""
    return material.synthetic_ask(kind, KINDS[kind], max(bench.scale.scored[kind]), "bfloat16")


def first(request_batch: RequestBatch, count: int) -> RequestBatch:
    return replace(request_batch, requests=request_batch.requests[:count])


def _ours(bench: Bench, kind: str) -> Facts:
    engine, request_batch = bench.engines["bfloat16"], first(questions(bench, kind), bench.scale.scored[kind][0])
    flops = material.needed_flops(request_batch, bench.model, engine.flops_per_token())
    seconds, facts = timed(bench.scale, lambda: engine.score(request_batch))
    return {
        "documents_s": len(request_batch.requests) / seconds,
        "unique_tokens_s": material.unique_tokens(request_batch) / seconds,
        "of_matmul": flops / seconds / bench.rate,
        **facts,
    }


def _theirs(bench: Bench, kind: str) -> Facts:
    """At the best batch size, which may be any that fits."""
    lm, request_batch = _lm(bench.half), questions(bench, kind)
    rows, part, chosen = bench.scale.scored[kind]

    def read(count: int, batch: int) -> None:
        lm.batch_size_per_gpu = batch
        _lm_sums(lm, first(request_batch, count))

    read(8, 8)  # warms up
    batch, tried = best_batch(bench.device, bench.scale.batches, partial(read, chosen))
    seconds, facts = timed(bench.scale, lambda: read(part, batch), warm=True)
    # The part counts as so many mean documents as its tokens make.
    lengths = material.document_tokens(first(request_batch, rows))
    documents = sum(lengths[:part]) / float(np.mean(lengths))
    return {"documents_s": documents / seconds, **tried, **facts}


def _distance(bench: Bench, kind: str) -> Facts:
    """float32 against lm_eval's; bfloat16 on both sides against float32."""
    half_lm, whole_lm = _lm(bench.half), _lm(bench.model)
    bench.reset()
    request_batch = first(questions(bench, kind), CHECKED)
    exact = bench.engines["float32"].score(request_batch)
    whole = _lm_sums(whole_lm, first(request_batch, CHECKED_WHOLE))
    found = apart(bench.engines["bfloat16"].score(request_batch), _lm_sums(half_lm, request_batch), exact)
    ok = found["max"] <= found["their_max"] and found["rms"] <= found["their_rms"]
    return {"float32_max": scoring.distance(exact[: len(whole)], whole)[0], **found, "ok": ok}


def _lm(model: Any) -> Any:
    """lm_eval's model around one that is in memory."""
    peers.quiet()
    with tempfile.TemporaryDirectory() as folder:
        material.write_tokenizer(Path(folder))
        return peers.around(model, PreTrainedTokenizerFast.from_pretrained(folder), 8)


def _lm_sums(lm: Any, request_batch: RequestBatch) -> Sums:
    """Every option after its whole prompt, as `scoring.Theirs`."""
    sent = [
        (("", ""), [*request_batch.prefix, *q.context], list(option))
        for q in request_batch.requests
        for option in q.options
    ]
    got = iter(lm._loglikelihood_tokens(sent, disable_tqdm=True))
    return [tuple(next(got)[0] for _ in request.options) for request in request_batch.requests]
