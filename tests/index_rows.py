"""Rows for indexes."""

import numpy as np

from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexRows
from facegrid.domain.labels import NO_LABELS, Labels
from facegrid.domain.matching import Hit


def unit_vectors(count: int, dimension: int = 16, seed: int = 0) -> Floats:
    """Return float32 (count, dimension), each of length 1."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows_of(vectors: Floats, labels: Labels = NO_LABELS) -> IndexRows:
    """Return a row for each vector, each of a subject of its own."""
    names = [str(number) for number in range(len(vectors))]
    return IndexRows(names, names, [0] * len(names), vectors, [labels] * len(names))


def subjects(hits: list[Hit]) -> list[int]:
    """Return the numbers of the vectors that were found."""
    return [int(hit.subject_id) for hit in hits]
