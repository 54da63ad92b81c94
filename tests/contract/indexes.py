"""Rows that the tests of indexes put into them."""

from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexRows
from facegrid.domain.labels import NO_LABELS

DIMENSION = 16


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
