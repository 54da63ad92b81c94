"""Rows that the tests of indexes put into them."""

import numpy as np

from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexRows
from facegrid.domain.labels import NO_LABELS

DIMENSION = 16


def unit_vectors(count: int, seed: int = 0) -> Floats:
    """Return float32 (count, DIMENSION), each of length 1."""
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows(vectors: Floats, prefix: str = "e") -> IndexRows:
    """Return a row for each vector, two samples an encounter, four a subject."""
    numbers = range(len(vectors))
    return IndexRows(
        [f"s{number // 4}" for number in numbers],
        [f"{prefix}{number // 2}" for number in numbers],
        [number % 2 for number in numbers],
        vectors,
        [NO_LABELS] * len(vectors),
    )
