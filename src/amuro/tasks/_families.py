"""What the data sets of one family share: templates, and how two texts become an example.

A task in its domain and out of it must have the same prompts, so they are defined once. Helper of tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro.core.hashing import digest
from amuro.core.text import normalized, single_spaced
from amuro.core.types import Example, Normalize, Size

WORLD: Mapping[str, int] = {"train": 4000, "dev": 300, "test": 500, "test_ood": 500}
DOCUMENTS: Mapping[str, int] = {"test": 300}
GLUE: Mapping[str, Any] = {
    "revision": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    "page": "https://huggingface.co/datasets/nyu-mll/glue",
}
ARC: Mapping[str, Any] = {
    "revision": "210d026faf9955653af8916fad021475a3f00453",
    "family": "science questions",
    "kind": "multiple_choice",
    "metric": "accuracy",
    "fields": (("question", "Question"),),
    "answer_prefix": "Answer:",
    "instruction": "Answer the science question.",
    "cluster": "question",
    "chance": 0.25,
    "licence": "CC-BY-SA-4.0",
    "page": "https://huggingface.co/datasets/allenai/ai2_arc",
    "unconditional": "Answer:",
}
ENTAILMENT = ("entailment", "neutral", "contradiction")
INFERENCE: Mapping[str, Any] = {
    "family": "inference",
    "kind": "classification",
    "metric": "accuracy",
    "fields": (("premise", "Premise"), ("hypothesis", "Hypothesis")),
    "answer_prefix": "Inference:",
    "cluster": "premise",
    "templates": {
        "instruct": "Consider the following texts:\nText 1: {premise}\nText 2: {hypothesis}\nThe relation is",
    },
}
THREE_WAYS: Mapping[str, Any] = {
    "instruction": "Say whether the premise entails the hypothesis: entailment, neutral or contradiction.",
    "labels": ENTAILMENT,
    "chance": 1 / 3,
}
PARAPHRASE: Mapping[str, Any] = {
    "family": "paraphrase",
    "kind": "classification",
    "metric": "accuracy",
    "fields": (("sentence1", "Sentence 1"), ("sentence2", "Sentence 2")),
    "answer_prefix": "Paraphrase:",
    "instruction": "Say whether the two sentences mean the same: yes or no.",
    "labels": ("no", "yes"),
    "chance": 0.5,
    "templates": {
        "instruct": "Let’s compare the two sentences:\nSentence 1: {sentence1}\nSentence 2: {sentence2}\n"
        "Are they paraphrases of each other?",
    },
}
QUESTION: Mapping[str, Any] = {
    "family": "question generation",
    "kind": "generation",
    "metric": "rouge_l",
    "fields": (("context", "Context"), ("reply", "Answer")),
    "answer_prefix": "Question:",
    "instruction": "Write the question about the context that has the given answer.",
    "normalize": "spaces",  # a line feed ends a generation
    "templates": {
        "instruct": "Given the context: {context}\nAnd the answer: {reply}\nGenerate a suitable question:",
    },
}
SUMMARY: Mapping[str, Any] = {
    "family": "summary",
    "kind": "generation",
    "metric": "rouge_l",
    "fields": (("text", "Text"),),
    "answer_prefix": "Summary:",
    "normalize": "spaces",  # a line feed ends a generation
    "cluster": "article",
    "splits": {"train": "train", "dev": "validation", "test": "test"},
    "templates": {"instruct": "Please read the following text: {text}\nProvide a summary:"},
}


def pair(row: Mapping[str, Any], columns: Mapping[str, str], answer: str) -> Example:
    """Returns an example of two texts and an answer; rows with the same first text are one cluster. `columns`: input
    → column.
    """
    inputs = {name: row[column] for name, column in columns.items()}
    first = next(iter(inputs.values()))
    return Example(str(row["id"]), digest(single_spaced(first))[:12], inputs, answer)


def article(row: Mapping[str, Any], text: str, summary: str, how: Normalize) -> Example:
    """Returns an example of an article (column `text`) and its summary (column `summary`); each article is its own
    cluster.
    """
    texts = [normalized(row[column], how) for column in (text, summary)]
    return Example(str(row["id"]), str(row["id"]), {"text": texts[0]}, texts[1])


def world_size(prompt_tokens: int, answer_tokens: int, rows: Mapping[str, int] = WORLD) -> Size:
    """Returns the size of a set of the embedded world, where nearly every word is one token."""
    return Size(rows, prompt_tokens, answer_tokens, megabytes=0.0, source="words of the rows of world 0")
