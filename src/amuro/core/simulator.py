"""What the toy engine's pre-training and tuning do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from amuro.core.errors import StudyError, nearest

_ANY = ("onset", "steepness", "label_bias")
_LARGEST = 1000.0


@dataclass(frozen=True, slots=True)
class SimulatorParameters:
    """All shares lie in 0…1."""

    onset: float = 6.0
    """log10 of the training tokens at which half of the ability is there."""
    steepness: float = 2.0
    """Slope of the ability over log10 tokens, on the logit scale."""
    shown: float = 0.1
    """Share of the ability that a base model shows without tuning."""
    shown_in: Mapping[str, float] | None = None
    """The same for single tasks: {task: share}."""
    gain: float = 0.9
    """Share of the hidden ability that tuning on the same task brings out."""
    transfer: float = 0.7
    """Share of that gain which reaches splits other than the one tuned for (`test_ood`)."""
    forgetting: float = 0.2
    """Share of the shown ability in other tasks that tuning loses."""
    format_effect: float = 0.2
    """Share of the ability lost in a format that the model was not tuned in (`default` for a base)."""
    label_bias: float = 1.0
    """Log-odds by which a base model prefers the first option where it does not know."""
    seed_noise: float = 0.1
    """Standard deviation between runs, on the logit scale of the ability."""
    shared_difficulty: float = 0.5
    """Share of an item's difficulty that is the same for all models."""


NAMES = tuple(field.name for field in fields(SimulatorParameters) if field.name != "shown_in")
"""The parameters that the table [toy] may hold."""


def of(table: Mapping[str, float]) -> SimulatorParameters:
    """The simulator parameters as a study turns them. Raises StudyError on an unknown one or one out of range."""
    for name, value in table.items():
        if name not in NAMES:
            raise StudyError(f"unknown simulator parameter {name!r} in [toy]", nearest(name, NAMES))
        low, high = bounds(name)
        if not low <= value <= high:
            raise StudyError(f"simulator parameter {name} in [toy] is {value:g}", f"give {low:g} to {high:g}")
    return replace(SimulatorParameters(), **table)  # type: ignore[arg-type]  # names are checked above


def bounds(name: str) -> tuple[float, float]:
    """The least and the largest value of a parameter."""
    if name == "seed_noise":
        return 0.0, _LARGEST
    return (-_LARGEST, _LARGEST) if name in _ANY else (0.0, 1.0)
