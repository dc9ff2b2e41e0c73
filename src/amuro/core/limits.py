"""Types of values in a study's tables (pydantic), each with plausible bounds."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

T = TypeVar("T")


def listed(value: Any) -> Any:
    """The value as a tuple; a single value becomes a tuple of one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _different(values: tuple[T, ...]) -> tuple[T, ...]:
    """The values. Raises ValueError on duplicates."""
    seen: set[T] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"names {value!r} twice")
        seen.add(value)
    return values


def _some(values: tuple[T, ...]) -> tuple[T, ...]:
    """The values. Raises ValueError where there are none."""
    if not values:
        raise ValueError("is empty: name one or more, or leave the key out")
    return values


Many = Annotated[tuple[T, ...], BeforeValidator(listed), AfterValidator(_different)]
"""Distinct values; a single one needs no brackets."""
Some = Annotated[tuple[T, ...], BeforeValidator(listed), AfterValidator(_some), AfterValidator(_different)]
"""At least one value, all distinct."""

NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
Count = Annotated[int, Field(gt=0, le=10**8)]
Step = Annotated[int, Field(ge=-1, le=10**12)]
"""Optimiser step of pre-training; −1: unknown."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""Seed of a random number generator, 0 to 2³² − 1."""
Shots = Annotated[int, Field(ge=0, le=1000)]
Rate = Annotated[float, Field(gt=0, le=100)]
Weight = Annotated[float, Field(gt=0, le=1e6)]
Delta = Annotated[float, Field(gt=0, le=100)]
"""A smallest effect of interest, on the scale of its analysis."""
Share = Annotated[float, Field(ge=0, lt=1)]
Device = Annotated[str, Field(pattern=r"^(cpu|cuda(:\d{1,3})?)$")]
