"""Parser of the names in the paper's released tables. An id must match exactly one alternative completely; any other is
an error.

    base    olmo1b_checkpoint-STEP_original[_hf_Kshots] · olmo1b_original_hf[_Kshots]
    tuned   olmo1b_hf_(ckptSTEP|main)_SET_EPepoch_LR[_Kshots][_cot_chat]
    plain   checkpoint-STEP[_Kshots][_cot_chat]
    legacy  olmo1b_(original|hf_original)[_cot_chat] · olmo1b_[ckptSTEP_]SET_EPepoch_LR[_cot_chat]
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from amuro.core.errors import DataError, nearest

STEPS = ("1000", "18000", "342000", "424000", "505000", "592000", "738000")
SETS = ("mnli", "paws", "socialiqa", "xsum", "tulu")
MAIN = "main"
"""Name of the released final weights, whose step is not in the tables."""
FORMATS = {"": "default", "_instruct": "instruct", "_inputoutput": "input_output"}

_STEP = f"(?P<step>{'|'.join(STEPS)})"
_TUNED = f"(?P<set>{'|'.join(SETS)})_(?P<epochs>[35])epoch_(?P<rate>2e-[567])"
_SHOTS = "(?:_(?P<shots>[247])shots)"
_CHAT = "(?P<chat>_cot_chat)"
ALTERNATIVES = {
    "base": (
        f"olmo1b_checkpoint-{_STEP}_original(?:(?P<hf>_hf){_SHOTS})?",
        f"olmo1b_original(?P<hf>_hf){_SHOTS}?",
    ),
    "tuned": (f"olmo1b(?P<hf>_hf)_(?:ckpt{_STEP}|main)_{_TUNED}{_SHOTS}?{_CHAT}?",),
    "plain": (f"checkpoint-{_STEP}{_SHOTS}?{_CHAT}?",),
    "legacy": (f"olmo1b_(?:(?P<hf>hf)_)?original{_CHAT}?", f"olmo1b_(?:ckpt{_STEP}_)?{_TUNED}{_CHAT}?"),
}
"""Alternative → its patterns. Without a step an id means the released final weights."""


@dataclass(frozen=True, slots=True)
class PaperModel:
    """Parts of a model id."""

    alternative: str
    checkpoint: str
    """A step, or `main`."""
    tuned_on: str | None
    epochs: int | None
    learning_rate: float | None
    shots: int | None
    """None where the id names no number of shots."""
    conversion: str
    """`hf`: converted correctly; `old`: with the converter that the authors advise against; `unstated`."""
    chat: bool


def parse_model(text: str) -> PaperModel:
    """Parses a model id. Raises `DataError` with the most similar known id where it fits no alternative."""
    matches = [
        (name, match)
        for name, patterns in ALTERNATIVES.items()
        for pattern in patterns
        if (match := re.fullmatch(pattern, text, flags=re.ASCII))
    ]
    if len(matches) != 1:
        raise DataError(
            f"model id '{text}' fits {len(matches) or 'no'} form of the paper's ids", cure=nearest(text, examples())
        )
    name, match = matches[0]
    parts = match.groupdict()
    return PaperModel(
        name,
        parts.get("step") or MAIN,
        parts.get("set"),
        int(parts["epochs"]) if parts.get("epochs") else None,
        float(parts["rate"]) if parts.get("rate") else None,
        int(parts["shots"]) if parts.get("shots") else None,
        "unstated" if name == "plain" else "hf" if parts.get("hf") else "old",
        bool(parts.get("chat")),
    )


def parse_set(text: str, known: Iterable[str]) -> tuple[str, str]:
    """Returns (name, format) of an evaluation set, by the longest known name that it begins with.

    Raises DataError where it begins with none, or where what follows is no format.
    """
    names = sorted(known, key=len, reverse=True)
    name = next((n for n in names if text.startswith(n)), None)
    rest = text.removeprefix(name) if name else ""
    if name is None or rest not in FORMATS:
        raise DataError(
            f"evaluation set '{text}' is none of this table's",
            cure=nearest(text, [n + suffix for n in names for suffix in FORMATS]),
        )
    return name, FORMATS[rest]


@cache
def examples() -> tuple[str, ...]:
    """Returns well-formed ids of every alternative, to suggest for an unknown one."""
    ids = ["olmo1b_original_hf", "olmo1b_original_hf_4shots", "olmo1b_original", "olmo1b_hf_original"]
    for step in STEPS:
        ids += [f"checkpoint-{step}", f"checkpoint-{step}_4shots", f"olmo1b_checkpoint-{step}_original"]
        ids += [f"olmo1b_checkpoint-{step}_original_hf_{shots}shots" for shots in (2, 4, 7)]
    for place in (*(f"ckpt{step}" for step in STEPS), MAIN):
        for tuned_on in SETS:
            recipe = f"{tuned_on}_{5 if tuned_on == 'tulu' else 3}epoch_{'2e-7' if tuned_on == 'xsum' else '2e-6'}"
            ids += [f"olmo1b_hf_{place}_{recipe}", f"olmo1b_hf_{place}_{recipe}_4shots"]
    return tuple(ids)
