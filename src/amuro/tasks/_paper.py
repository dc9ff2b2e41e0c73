"""The prompts of the paper (Sun and Dredze 2024, arXiv:2408.06663), to the character. Helper of tasks.

Templates keep their irregular spaces and their space at the end. docs/protocol.md explains what is wrong with each
choice and where the corrected protocol repairs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.types import Size, Task

SUMMARY = {
    "default": "### Input: {text}\n ### Summary: ",
    "instruct": "Please read the following text: {text} Provide a summary: ",
    "input_output": "{text}",
}
INFERENCE = {
    "default": "### Input_1: {premise}\n ### Input_2: {hypothesis}\n ### Inference: ",
    "instruct": "Consider the following texts: Text 1: {premise} Text 2: {hypothesis} The relation is ",
    "input_output": "{premise} {hypothesis}",
}
PARAPHRASE = {
    "default": "### Input_1: {sentence1}\n ### Input_2: {sentence2}\n ### Paraphrase Classification: ",
    "instruct": "Let’s compare the two sentences: Sentence_1: {sentence1} Sentence_2: {sentence2} "
    "Are they paraphrasing?: ",
    "input_output": "{sentence1} {sentence2}",
}


def only(templates: dict[str, str], *formats: str) -> dict[str, str]:
    """Returns the templates that the paper had for a data set: not every format exists for each."""
    return {name: templates[name] for name in formats}


def tuned(corrected: Task, rows: Mapping[str, int] | None = None, **changes: Any) -> Task:
    """Returns a task of the paper's supervised part: shots from the evaluated rows (P3), whole-text encoding (P5),
    labels scored by their sub-tokens (P6), generation of up to 60 tokens that only end-of-text stops (P13).
    """
    fixed: dict[str, Any] = {
        "shots_from": "evaluation",
        "normalize": "none",
        "encoding": "whole_text",
        "label_scoring": "sub_tokens" if corrected.kind == "classification" else "whole",
        "separator": "\n",
        "stop": (),
        "max_new_tokens": 60,
        "size": _size(corrected, rows),
    }
    return replace(corrected, **{**fixed, **changes})


def chosen(corrected: Task, templates: str, rows: Mapping[str, int] | None = None, **changes: Any) -> Task:
    """Returns a task of the paper's multiple-choice part, evaluated through ai2-catwalk: one template, shots from the
    whole train split, the validation split as the test.
    """
    fixed: dict[str, Any] = {
        "shots_from": "train_by_row",
        "normalize": "none",
        "separator": "\n\n",
        "templates": {"default": templates},
        "splits": {"train": "train", "test": "validation"},
        "size": _size(corrected, rows),
    }
    return replace(corrected, **{**fixed, **changes})


def _size(corrected: Task, rows: Mapping[str, int] | None) -> Size | None:
    """Returns the size of the corrected task with the rows of the paper's splits."""
    return replace(corrected.size, rows=rows) if corrected.size and rows else None
