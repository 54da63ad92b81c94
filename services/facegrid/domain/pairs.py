"""Pairs of templates of different subjects that score above a threshold, found exactly in blocks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexRows
from facegrid.domain.templates import round_score

_TILE_ROWS, _TILE_COLUMNS = 1024, 8192
_ROUNDING = 1e-6  # more than a score is rounded by
_RESCORED = 4096

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, order=True)
class PairedSample:
    """One side of a pair."""

    subject_id: str
    encounter_id: str
    sample: int

    @classmethod
    def of(cls, rows: IndexRows, row: int) -> "PairedSample":
        """Return the sample that a row is of."""
        return cls(rows.subject_ids[row], rows.encounter_ids[row], rows.samples[row])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two samples of different subjects, that of the lower subject id first, and their score."""

    first: PairedSample
    second: PairedSample
    score: float

    @classmethod
    def of(cls, one: PairedSample, other: PairedSample, score: float) -> "Pair":
        """Return the pair of two samples."""
        return cls(one, other, score) if one.subject_id < other.subject_id else cls(other, one, score)


def keep_best(best: dict[tuple[str, str], Pair], pairs: Iterable[Pair]) -> None:
    """Keep the pair with the highest score of each two subjects; ties go to the lower ids."""
    for pair in pairs:
        key = pair.first.subject_id, pair.second.subject_id
        if key not in best or _rank(pair) < _rank(best[key]):
            best[key] = pair


def _rank(pair: Pair) -> tuple[float, PairedSample, PairedSample]:
    return -pair.score, pair.first, pair.second


def pairs_between(block: IndexRows, others: IndexRows, threshold: float) -> Iterator[Pair]:
    """Yield the pairs of a row of a block and another row whose score is the threshold or more."""
    for rows, columns in _candidates(others.vectors, block.vectors, threshold, within=False):
        yield from _scored(others, rows, block, columns, threshold)


def pairs_within(block: IndexRows, threshold: float) -> Iterator[Pair]:
    """Yield the pairs of two rows of a block whose score is the threshold or more."""
    for rows, columns in _candidates(block.vectors, block.vectors, threshold, within=True):
        yield from _scored(block, rows, block, columns, threshold)


def _candidates(
    left: Floats, right: Floats, threshold: float, *, within: bool
) -> Iterator[tuple[Places, Places]]:
    """Yield the places whose float32 product may be that of a score at the threshold or above.

    The error of a sum of d products of rounded terms is (d + 8) 2^-23 of the lengths at most (Higham,
    Accuracy and Stability of Numerical Algorithms, 3.1).
    """
    floor = np.float32(threshold - (left.shape[1] + 8) * 2.0**-23 - _ROUNDING)
    buffer = np.empty(_TILE_ROWS * _TILE_COLUMNS, np.float32)  # new memory for each tile costs a tenth
    for top in range(0, len(left), _TILE_ROWS):
        tile = left[top : top + _TILE_ROWS]
        for start in range(top if within else 0, len(right), _TILE_COLUMNS):
            others = right[start : start + _TILE_COLUMNS]
            products = buffer[: len(tile) * len(others)].reshape(len(tile), len(others))
            np.matmul(tile, others.T, out=products)
            rows, columns = np.divmod(np.flatnonzero(products >= floor), products.shape[1])
            rows, columns = rows + top, columns + start
            if within:
                after = columns > rows
                rows, columns = rows[after], columns[after]
            yield rows, columns


def _scored(
    left: IndexRows, rows: Places, right: IndexRows, columns: Places, threshold: float
) -> Iterator[Pair]:
    """Score candidates as searches do: the float64 products of the stored vectors, rounded."""
    different = [
        place
        for place, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True))
        if left.subject_ids[row] != right.subject_ids[column]
    ]
    for start in range(0, len(different), _RESCORED):
        part = different[start : start + _RESCORED]
        one, other = left.vectors[rows[part]].astype(np.float64), right.vectors[columns[part]]
        for place, product in zip(part, np.einsum("ij,ij->i", one, other).tolist(), strict=True):
            if (score := round_score(product)) >= threshold:
                sample = PairedSample.of(left, int(rows[place]))
                yield Pair.of(sample, PairedSample.of(right, int(columns[place])), score)
