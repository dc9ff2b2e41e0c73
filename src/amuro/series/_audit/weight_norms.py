"""Norms of weights and cosines between checkpoints, read from the files tensor by tensor, without torch.

G = W Wᵀ, where each row of W is a checkpoint with all its floating-point tensors concatenated, gives norms
|wᵢ| = √Gᵢᵢ and cosines cos(wᵢ, wⱼ) = Gᵢⱼ / (|wᵢ| |wⱼ|). Two rules find outliers. Both
apply to inner checkpoints only: the first and the last have a neighbour on one side only.

norm        |wᵢ| lies outside the range of its two neighbours, and log|wᵢ| is farther from the straight line between
            them (over log(step + 1)) than `FAR` × 1.4826 × the median of that distance over the others, and than 2 %.
            The farthest one is removed and the rest tested again, so that an outlier does not implicate its neighbours.
direction   the neighbours are less than `NEARER` times as far from each other as each of them from wᵢ, by the chord
            √(2 − 2 cos): weights of another run, or damaged ones; on a smooth trajectory wᵢ is between them.

The thresholds are our own. They were tried on small networks and simulated series; they are
not yet calibrated on a published series. An outlier is a warning, so it blocks nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amuro.core.safetensors_header import Entry, read_header
from amuro.core.weights import weight_files

Matrix = NDArray[np.float64]

FAR = 6.0
"""See the rule *norm*."""
LEAST_CHANGE = np.log(1.02)
"""Smallest distance of log norms that counts (2 %)."""
NEARER = 0.5
"""See the rule *direction*."""
_MAD = 1.4826
"""Median absolute deviation → standard deviation of a normal distribution."""
_LEAST = 5
"""Fewest checkpoints for the rule *norm*."""
_CHUNK = 1 << 25
"""Numbers (of all checkpoints together) in memory at a time: 256 MB."""
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""safetensors dtype → numpy dtype of the bytes."""


@dataclass(frozen=True)
class WeightTrajectory:
    """Comparison of the weights of checkpoints, in the order in which they were given."""

    gram: Matrix
    """(checkpoints, checkpoints) inner products; a row that is not finite belongs to weights that are not finite."""
    tensors: int
    """Number of tensors that were compared."""
    others: tuple[tuple[str, ...], ...]
    """Per checkpoint, the tensors that it lacks or has in another shape than most."""

    @property
    def norms(self) -> Matrix:
        """(checkpoints,) Euclidean norm of all weights."""
        return np.sqrt(np.diag(self.gram))

    @property
    def cosines(self) -> Matrix:
        """(checkpoints, checkpoints) cosines between weights."""
        return np.asarray(self.gram / np.outer(self.norms, self.norms))


def trajectory(folders: Sequence[Path]) -> WeightTrajectory:
    """Reads every floating-point tensor once and compares the checkpoints. Raises WeightsError on unreadable files."""
    tensors = [dict(_tensors(folder)) for folder in folders]
    shapes = [{name: entry.shape for name, (_, entry) in found.items()} for found in tensors]
    shared = {name for name, shape in shapes[0].items() if all(other.get(name) == shape for other in shapes)}
    usual = {name: Counter(other.get(name) for other in shapes).most_common(1)[0][0] for name in set().union(*shapes)}
    others = tuple(
        tuple(sorted(n for n, shape in usual.items() if shapes_of_one.get(n) != shape)) for shapes_of_one in shapes
    )
    gram = np.zeros((len(folders), len(folders)))
    for name in sorted(shared):
        for rows in _rows([found[name] for found in tensors]):
            with np.errstate(invalid="ignore", over="ignore"):
                gram += rows @ rows.T
    return WeightTrajectory(gram, len(shared), others)


def norm_outliers(steps: Sequence[int], norms: Matrix) -> list[int]:
    """Returns the indices of the outliers by the rule *norm*; none while fewer than five checkpoints are left."""
    x, y = np.log1p(np.asarray(steps, float)), np.log(norms)
    left, outliers = list(range(len(steps))), []
    while len(left) >= _LEAST:
        excess = [_excess(x, y, left, inner) for inner in range(1, len(left) - 1)]
        worst = int(np.argmax(excess))
        if excess[worst] <= 1:
            break
        outliers.append(left.pop(worst + 1))
    return sorted(outliers)


def direction_outliers(cosines: Matrix) -> list[int]:
    """Returns the indices of the outliers by the rule *direction*."""
    apart = np.sqrt(np.clip(2 - 2 * cosines, 0, None))
    inner = range(1, len(cosines) - 1)
    return [i for i in inner if apart[i - 1, i + 1] < NEARER * min(apart[i - 1, i], apart[i, i + 1])]


def _excess(x: Matrix, y: Matrix, left: list[int], inner: int) -> float:
    """Returns the distance of a point from the line between its neighbours, divided by the allowed distance; 0 within
    their range.
    """
    before, at, after = y[left[inner - 1 : inner + 2]]
    if min(before, after) <= at <= max(before, after):
        return 0.0
    rest = [k for k in left if k != left[inner]]
    usual = np.median([abs(_residual(x, y, rest, k)) for k in range(1, len(rest) - 1)])
    return float(abs(_residual(x, y, left, inner)) / max(FAR * _MAD * usual, LEAST_CHANGE))


def _residual(x: Matrix, y: Matrix, left: list[int], inner: int) -> float:
    """Returns the signed distance of a point from the line between its neighbours."""
    i, j, k = left[inner - 1 : inner + 2]
    share = (x[j] - x[i]) / (x[k] - x[i])
    return float(y[j] - (1 - share) * y[i] - share * y[k])


def _tensors(folder: Path) -> Iterator[tuple[str, tuple[Path, Entry]]]:
    """Yields name and place of every floating-point tensor of a checkpoint."""
    for path in weight_files(folder):
        for entry in read_header(path):
            if entry.dtype in _DTYPES:
                yield entry.name, (path, entry)


def _rows(places: Sequence[tuple[Path, Entry]]) -> Iterator[Matrix]:
    """Yields (checkpoints, numbers) chunks of one tensor, as float64."""
    total, step = prod(places[0][1].shape), max(1, _CHUNK // len(places))
    for start in range(0, total, step):
        yield np.stack([_read(path, entry, start, min(step, total - start)) for path, entry in places])


def _read(path: Path, entry: Entry, start: int, count: int) -> Matrix:
    """Returns a chunk of one tensor. The bits of bfloat16, which numpy lacks, are the upper half of a float32."""
    dtype = np.dtype(_DTYPES[entry.dtype])
    numbers = np.fromfile(path, dtype, count, offset=entry.start + start * dtype.itemsize)
    if entry.dtype == "BF16":
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    return np.asarray(numbers, np.float64)
