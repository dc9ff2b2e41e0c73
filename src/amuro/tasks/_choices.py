"""Options that an answer key names by letter or number. Helper of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amuro.core.errors import DataError


def keyed(choices: Mapping[str, Sequence[str]], key: str) -> int:
    """Returns the index of the option that `key` names. Raises DataError if it names none, as in a
    hidden test split.
    """
    labels = list(choices["label"])
    if key.strip() not in labels:
        raise DataError(f"the answer key {key!r} names no option", f"the options are {', '.join(labels)}")
    return labels.index(key.strip())
