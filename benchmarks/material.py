"""What both sides are given: two models with random weights and synthetic text, or a real model and real rows.

Token ids only, as an engine sees them. Lengths are those of real sets (4 shots); `scripts/real_material.py` fetches
what is real. What reads real rows is imported where it is used: a machine with a GPU may lack it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from amuro.core.requests import Request, RequestBatch
from amuro.core.types import Cell, Checkpoint, EvalSet, Example, Model, Recipe, Task
from amuro.engine.base import Sequences
from amuro.prompts.tokenizer import Encoder
from side_by_side import UnequalError

CACHE = Path(os.environ.get("AMURO_REAL", "~/.cache/amuro-real")).expanduser()
REAL = "SmolLM2"
REAL_MODEL = CACHE / "SmolLM2-135M-Instruct"
VOCABULARY, CONTEXT, EOS = 8192, 2048, 0
LINE_FEEDS = VOCABULARY // 20
"""So many of the words begin with a line feed, at which a generation stops."""
SHOTS = 4


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a question type: shared prefix, own context, one option; and the number of options."""

    prefix: int
    context: int
    option: int
    options: int


LABELS = Lengths(260, 60, 1, 3)
OPTIONS = Lengths(176, 34, 6, 4)
ENDINGS = Lengths(484, 75, 34, 4)
LONG = Lengths(1564, 327, 16, 4)


@dataclass(frozen=True)
class Work:
    """A model and what both sides ask it."""

    folder: Path
    request_batch: RequestBatch
    checked: int
    """Queries, of the first, whose answers are compared."""
    rows: int
    """Queries that a pass of amuro takes, of the first."""
    part: int
    """Queries that a pass of the peer takes."""
    precision: str

    def first(self, rows: int) -> RequestBatch:
        return replace(self.request_batch, requests=self.request_batch.requests[:rows])


def model_folder(name: str, root: Path) -> Path:
    """The folder of S (Llama, 10.5 M), M (OLMo, 69 M) or SmolLM2; made under `root` unless it is there."""
    if name == REAL:
        return REAL_MODEL
    folder = root / name
    if not folder.is_dir():
        _make_model(name, folder)
    return folder


def _make_model(name: str, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, OlmoConfig
    from transformers.utils import logging as transformers_logging

    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT, "tie_word_embeddings": False,
        # Wide enough that a greedy text wanders before it repeats itself, and so meets its stop at various lengths.
        "initializer_range": 0.05,
        "bos_token_id": None, "eos_token_id": EOS, "pad_token_id": None,
    }  # fmt: skip
    if name == "S":
        config: Any = LlamaConfig(
            hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=4, **sizes
        )
    else:
        config = OlmoConfig(
            hidden_size=768, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=12, **sizes
        )
    transformers_logging.disable_progress_bar()
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    write_tokenizer(folder)


def write_tokenizer(folder: Path) -> None:
    """One word a token, `w17`; the last words begin with a line feed."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<eos>", *(f"w{number}" for number in range(1, VOCABULARY - LINE_FEEDS))]
    words += [f"\nw{number}" for number in range(VOCABULARY - LINE_FEEDS, VOCABULARY)]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>").save_pretrained(folder)


def cell(name: str, precision: str, rows: int) -> Cell:
    """The cell that a question would fill."""
    checkpoint = Checkpoint("benchmark", 1, None, None, "constant", "file:benchmark")
    return Cell(
        Model(checkpoint), EvalSet(name, "test"), "default", SHOTS, 0, "likelihood", "corrected", rows, precision, "cpu"
    )


def spread(count: int, low: float, high: float, seed: int) -> np.ndarray:
    """`count` numbers that fill low … high evenly, in an order without pattern."""
    points = (np.arange(count) + 0.5) / count * (high - low) + low
    return np.random.default_rng(seed).permutation(points)


def synthetic_ask(name: str, lengths: Lengths, rows: int, precision: str, new_tokens: int = 0) -> RequestBatch:
    """Random words; contexts and options are 0.6 to 1.4 times as long as their mean."""
    rng = np.random.default_rng(5)

    def words(length: float) -> tuple[int, ...]:
        return tuple(rng.integers(1, VOCABULARY - LINE_FEEDS, max(1, round(length))).tolist())

    contexts = spread(rows, 0.6, 1.4, 1) * lengths.context
    options = spread(rows * lengths.options, 0.6, 1.4, 2).reshape(rows, -1) * lengths.option
    labels = tuple(words(1) for _ in range(lengths.options)) if lengths.option == 1 else None
    requests = tuple(
        Request(str(row), words(contexts[row]), () if new_tokens else labels or tuple(words(n) for n in options[row]))
        for row in range(rows)
    )
    stop = ("\n",) if new_tokens else ()
    return RequestBatch(
        cell(name, precision, rows), words(lengths.prefix), requests, stop, new_tokens, ends=frozenset({EOS})
    )


def real_task(name: str) -> Task:
    from amuro.tasks import load_task

    folder = "socialiqa" if name.startswith("socialiqa") else name
    return replace(load_task(name), source=f"file:{CACHE}/rows/{folder}")


def real_ask(name: str, rows: int, precision: str) -> RequestBatch:
    """The first rows of a real set behind four shots, for SmolLM2. Raises UnequalError where pieces give other ids."""
    from amuro.run import requests

    task, encoder = real_task(name), Encoder.from_folder(REAL_MODEL)
    shots, examples = _shots_and_rows(task, rows)
    encoded = requests.encode(task, "default", examples, shots, encoder, CONTEXT)
    ((request_batch, _),) = encoded.batches(cell(name, precision, rows))
    whole = encoder.prompts([prefix + text for prefix, text in encoded.texts.select("prefix", "text").iter_rows()])
    if [(*request_batch.prefix, *request.context) for request in request_batch.requests] != whole:
        raise UnequalError(f"{name}: the prompts have other ids as a whole than in pieces")
    return request_batch


def _shots_and_rows(task: Task, rows: int) -> tuple[Sequence[Example], Sequence[Example]]:
    """Shots from train, or from behind the rows where no training split is here."""
    from amuro.data import sources

    tested = sources.examples(task, "test")
    if task.name == "hellaswag":
        return tested[-SHOTS:], tested[:rows]
    return sources.examples(task, "train")[:SHOTS], tested[:rows]


def has_real() -> bool:
    return REAL_MODEL.is_dir() and (CACHE / "rows" / "hellaswag").is_dir()


def unique_tokens(request_batch: RequestBatch) -> int:
    """Tokens that must be read: the prefix once, each context once, each option but its last token."""
    return len(request_batch.prefix) + sum(
        len(q.context) + sum(len(o) - 1 for o in q.options) for q in request_batch.requests
    )


def needed_flops(request_batch: RequestBatch, model: Any, flops_per_token: float) -> float:
    """Floating-point operations that the answers need: matrices for every unique token, attention to what each sees,
    the head only where a score is read. `flops_per_token` is the engine's figure, head included.
    """
    config = model.config
    head = 2.0 * config.vocab_size * config.hidden_size
    read = sum(1 + sum(len(o) - 1 for o in q.options) for q in request_batch.requests)
    attention = 4.0 * config.hidden_size * config.num_hidden_layers * _keys_seen(request_batch)
    return (flops_per_token - head) * unique_tokens(request_batch) + head * read + attention


def _keys_seen(request_batch: RequestBatch) -> float:
    start = len(request_batch.prefix)
    total = start * (start + 1) / 2
    for request in request_batch.requests:
        total += _ramp(start, len(request.context))
        total += sum(_ramp(start + len(request.context), len(option) - 1) for option in request.options)
    return total


def _ramp(before: int, length: int) -> float:
    return length * before + length * (length + 1) / 2


def document_tokens(request_batch: RequestBatch) -> list[int]:
    """Tokens of each document when every request is read alone; requests of one-token options share one reading."""
    return [_alone(len(request_batch.prefix) + len(request.context), request) for request in request_batch.requests]


def _alone(start: int, request: Request) -> int:
    readings = {option[:-1] for option in request.options} or {()}
    return sum(start + len(reading) for reading in readings)


def training(name: str, count: int) -> Sequences:
    """Prompts and answers as long as those of MNLI (75 tokens, answers of 2) or XSum (about 410 and 30)."""
    prompt, answer = {"MNLI-like": (73, 2), "XSum-like": (410, 30)}[name]
    rng = np.random.default_rng(9)
    prompts = spread(count, 0.5, 1.5, 3) * prompt
    answers = spread(count, 0.6, 1.4, 4) * answer

    def words(length: float) -> tuple[int, ...]:
        return tuple(rng.integers(1, VOCABULARY, max(1, round(length))).tolist())

    return [(words(p), (*words(a - 1), EOS)) for p, a in zip(prompts, answers, strict=True)]


def real_training(count: int) -> Sequences:
    """SocialIQA: write the question to a context."""
    from amuro.data import sources
    from amuro.run import training_sets

    recipe = tuned("float32").recipe
    assert recipe is not None
    task = real_task("socialiqa_question")
    examples = sources.examples(task, "train")[:count]
    return training_sets.training_sequences([(task, examples)], recipe, Encoder.from_folder(REAL_MODEL))


def tuned(name: str, rows: int = 0) -> Model:
    """A full tuning at 8 examples a step."""
    recipe = Recipe(name, ((name, 1.0),), rows=rows, epochs=1, learning_rates=(1e-4,), batch_size=8)
    return Model(cell(name, "float32", 0).model.checkpoint, recipe, "benchmark", 3, 1e-4)


def neighbours(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Groups of `size` indices of about equal length, as a peer that sorts by length sees them, in mixed order."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    groups = [order[begin : begin + size] for begin in range(0, len(order) - size + 1, size)]
    for number in np.random.default_rng(2).permutation(len(groups)):
        yield groups[number]
