"""What a world is: a process of known truth, and what an analysis must make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from amuro.results.analyses.base import Evidence

Truth = Literal["null", "true", "reversed"]
Rng = np.random.Generator
Make = Callable[[Rng, int], Evidence]
FAMILY = 4
"""Tuned tasks of a plain study: the findings that are corrected together."""


@dataclass(frozen=True)
class Coverage:
    """A world whose effect is known, so that it can be counted how often the 95 % interval holds it."""

    name: str
    analysis: str
    make: Make
    truth: float
    ending: str = ""


@dataclass(frozen=True)
class World:
    """A process whose truth is known. In null and reversed worlds *supported* is the error, in true worlds its lack."""

    name: str
    analysis: str
    truth: Truth
    make: Make
    """(generator, number of tasks) → what an analysis is given."""
    ending: str = ""
    """Only findings whose id ends so are counted."""
