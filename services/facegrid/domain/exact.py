"""The truth that an index is held against: every float32 vector compared with every probe, block by block."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexRows
from facegrid.domain.sampling import Marks, subject_marks

_ROWS, _PROBES = 4096, 1024
_Scores = NDArray[np.float32]


class ExactSearch:
    """The best `top` subjects for probes (N, dimension), of vectors that come in any order and number.

    It holds N × top subjects and the products of 1,024 probes with 4,096 vectors at most.
    """

    def __init__(self, probes: Floats, top: int) -> None:
        """Take the probes."""
        self._probes, self._top = probes, top
        self._scores = np.full((len(probes), top), -np.inf, np.float32)
        self._marks: Marks = np.zeros((len(probes), top), np.int64)
        self._names: dict[int, str] = {}

    def add(self, rows: IndexRows) -> None:
        """Compare vectors."""
        for start in range(0, len(rows), _ROWS):
            part = slice(start, start + _ROWS)
            self._add_block(rows.subject_ids[part], rows.vectors[part])

    def best(self) -> list[list[tuple[str, float]]]:
        """Return the subjects with their best score for each probe, best first."""
        return [
            [
                (self._names[mark], float(score))
                for mark, score in zip(marks, scores, strict=True)
                if score > -np.inf
            ]
            for marks, scores in zip(self._marks.tolist(), self._scores, strict=True)
        ]

    def _add_block(self, subject_ids: Sequence[str], vectors: Floats) -> None:
        hashes = subject_marks(subject_ids)
        order = np.argsort(hashes, kind="stable")
        marks, starts = np.unique(hashes[order], return_index=True)
        for probes in self._parts():
            products = self._probes[probes] @ vectors[order].T
            self._merge(probes, marks, np.maximum.reduceat(products, starts, axis=1))
        for place in np.flatnonzero(np.isin(hashes, self._marks)).tolist():
            self._names[int(hashes[place])] = subject_ids[place]

    def _parts(self) -> Iterator[slice]:
        return (slice(start, start + _PROBES) for start in range(0, len(self._probes), _PROBES))

    def _merge(self, probes: slice, marks: Marks, scores: _Scores) -> None:
        """Bring the subjects of a block among the best of those probes that they can change."""
        better = np.flatnonzero(scores.max(axis=1) > self._scores[probes][:, -1])
        rows = better + probes.start
        scores, width = scores[better], min(self._top, scores.shape[1])
        best = np.argpartition(-scores, width - 1, axis=1)[:, :width]
        found = np.concatenate([self._scores[rows], np.take_along_axis(scores, best, axis=1)], axis=1)
        owners = np.concatenate([self._marks[rows], marks[best]], axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        found, owners = np.take_along_axis(found, order, axis=1), np.take_along_axis(owners, order, axis=1)
        found[_seen_before(owners)] = -np.inf
        order = np.argsort(-found, axis=1, kind="stable")[:, : self._top]
        self._scores[rows] = np.take_along_axis(found, order, axis=1)
        self._marks[rows] = np.take_along_axis(owners, order, axis=1)


def _seen_before(owners: Marks) -> NDArray[np.bool_]:
    """Say of each subject in a row whether it stands further to the left as well."""
    same = owners[:, :, None] == owners[:, None, :]
    return np.asarray(np.tril(same, -1).any(axis=2))
