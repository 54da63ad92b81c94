"""Fixed batch sizes: a GPU prepares itself for each shape that it sees first."""

from collections.abc import Iterator

import numpy as np

from facegrid.domain.faces import Floats


def bucket(count: int) -> int:
    """Return the size that a batch of `count` items is filled up to: the next power of two."""
    return 1 << (count - 1).bit_length()


def buckets(largest: int) -> Iterator[int]:
    """Yield all sizes that batches of up to `largest` items have."""
    size = 1
    while size < bucket(largest):
        yield size
        size *= 2
    yield size


def filled(batch: Floats) -> Floats:
    """Return the batch with zeros behind its items, as many as its bucket lacks."""
    missing = bucket(len(batch)) - len(batch)
    return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)]) if missing else batch


def unfilled(outputs: list[Floats], count: int) -> list[Floats]:
    """Return what belongs to the first `count` items of a filled batch; an item may have several rows."""
    return [output[: len(output) * count // bucket(count)] for output in outputs]
