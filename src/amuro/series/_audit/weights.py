"""What weights that lie on this machine tell of a series: their way (`series/_audit/weight_norms.py` has the rules),
and equal ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amuro.core.hashing import weights_digests
from amuro.core.types import Checkpoint
from amuro.series._audit.issue import AuditIssue, place
from amuro.series._audit.shards import twins
from amuro.series._audit.weight_norms import Matrix, WeightTrajectory, direction_outliers, norm_outliers, trajectory
from amuro.series.base import UNKNOWN_STEP, Inspection, equal_weights


@dataclass(frozen=True)
class WeightCurve:
    """The result of comparing the weights of checkpoints."""

    faults: tuple[AuditIssue, ...]
    """Issues of tensors, norms and directions."""
    twins: tuple[AuditIssue, ...]
    """Issues of checkpoints with equal tensors, even in files with different bytes."""
    rows: tuple[dict[str, Any], ...]
    """Per checkpoint its norm, and the cosine to the previous one."""


def along(folders: Mapping[Checkpoint, Path], memo: Path) -> WeightCurve:
    """Reads the weights of checkpoints sorted by step. `memo`: the file that caches digests. Raises WeightsError."""
    checkpoints = list(folders)
    inspections = {c: Inspection(*weights_digests(folder, memo), {}) for c, folder in folders.items()}
    path = trajectory(list(folders.values()))
    equal = {checkpoint for group in equal_weights(inspections) for checkpoint in group}
    return WeightCurve(
        tuple(_faults(checkpoints, path, equal)), tuple(twins(inspections)), tuple(_rows(checkpoints, path))
    )


def _faults(
    checkpoints: Sequence[Checkpoint], path: WeightTrajectory, equal: Collection[Checkpoint]
) -> Iterator[AuditIssue]:
    """Yields the issues of the weights. Checkpoints with equal weights are left out of the outlier rules: one of them
    is misplaced.
    """
    finite = np.isfinite(np.diag(path.gram))
    for checkpoint, others, sound in zip(checkpoints, path.others, finite, strict=True):
        if not sound:
            detail = f"the weights of {place(checkpoint)} hold NaN or infinity"
            yield AuditIssue("not finite", "refused", detail, "fetch or save them again", checkpoint.address)
        if others:
            detail = f"{place(checkpoint)} differs from most in {len(others)} tensors, first of all {others[0]}"
            yield AuditIssue("other tensors", "doubtful", detail, "compare their configurations", checkpoint.address)
    judged = [i for i, c in enumerate(checkpoints) if finite[i] and c.step != UNKNOWN_STEP and c not in equal]
    yield from _outliers([checkpoints[i] for i in judged], path.norms[judged], path.cosines[np.ix_(judged, judged)])


def _outliers(checkpoints: Sequence[Checkpoint], norms: Matrix, cosines: Matrix) -> Iterator[AuditIssue]:
    """Yields the outliers of norm and direction."""
    cure = "look at it before you trust its scores"
    for i in norm_outliers([checkpoint.step for checkpoint in checkpoints], norms):
        detail = f"the norm of {place(checkpoints[i])} is {norms[i]:.4g}, of its neighbours {norms[i - 1]:.4g} and "
        yield AuditIssue("norm outlier", "doubtful", f"{detail}{norms[i + 1]:.4g}", cure, checkpoints[i].address)
    for i in direction_outliers(cosines):
        detail = f"the weights of {place(checkpoints[i])} point away from those of its neighbours: cosines "
        detail += f"{cosines[i - 1, i]:.3f} and {cosines[i, i + 1]:.3f}, while theirs is {cosines[i - 1, i + 1]:.3f}"
        yield AuditIssue("direction outlier", "doubtful", detail, cure, checkpoints[i].address)


def _rows(checkpoints: Sequence[Checkpoint], path: WeightTrajectory) -> Iterator[dict[str, Any]]:
    """Yields norm and cosine of each checkpoint as plain data."""
    for i, checkpoint in enumerate(checkpoints):
        cosine = float(path.cosines[i - 1, i]) if i else float("nan")
        yield {
            "checkpoint": checkpoint.address,
            "step": checkpoint.step,
            "norm": _finite(float(path.norms[i])),
            "cosine_to_previous": _finite(cosine),
        }


def _finite(value: float) -> float | None:
    """Returns the value, None if it is not finite."""
    return value if np.isfinite(value) else None
