"""How the paper (Sun and Dredze 2024, arXiv:2408.06663) put its tasks, to the character. Shared by plugins.

Templates keep their drifted spaces and their space at the end; what is wrong with each choice, and where the sound
protocol repairs it, stands in docs/protocol.md.
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
    """The wordings that the paper had for a data set: not each exists in every format."""
    return {name: templates[name] for name in formats}


def tuned(sound: Task, rows: Mapping[str, int] | None = None, **changes: Any) -> Task:
    """A task of the paper's supervised side: shots from the evaluated rows (P3), text encoded whole (P5), labels scored
    by their sub-tokens (P6), free text up to 60 tokens with nothing but end-of-text to stop it (P13).
    """
    fixed: dict[str, Any] = {
        "shots_from": "evaluation",
        "normalize": "none",
        "encoding": "whole_text",
        "label_scoring": "sub_tokens" if sound.kind == "classification" else "whole",
        "separator": "\n",
        "stop": (),
        "max_new_tokens": 60,
        "size": _size(sound, rows),
    }
    return replace(sound, **{**fixed, **changes})


def chosen(sound: Task, templates: str, rows: Mapping[str, int] | None = None, **changes: Any) -> Task:
    """A task of the paper's multiple-choice side, which the evaluation of OLMo asked through ai2-catwalk: one wording,
    the whole training split as the pool of shots, the validation split as the test.
    """
    fixed: dict[str, Any] = {
        "shots_from": "train_by_row",
        "normalize": "none",
        "separator": "\n\n",
        "templates": {"default": templates},
        "splits": {"train": "train", "test": "validation"},
        "size": _size(sound, rows),
    }
    return replace(sound, **{**fixed, **changes})


def _size(sound: Task, rows: Mapping[str, int] | None) -> Size | None:
    """The size of the sound task with the rows of the paper's splits."""
    return replace(sound.size, rows=rows) if sound.size and rows else None
