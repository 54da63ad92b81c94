"""Approximate search, on a Milvus server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from facegrid.domain.faces import Floats
from facegrid.domain.index_settings import IndexSettings, SearchMethod
from facegrid.domain.templates import round_score
from facegrid.storage.indexes.milvus import MilvusIndex
from index_rows import rows_of, subjects, unit_vectors

pytestmark = pytest.mark.integration
DIMENSION, COUNT = 64, 8_000


def reading(nprobe: int) -> IndexSettings:
    """Return the settings of an approximate search."""
    return IndexSettings(SearchMethod.APPROXIMATE, nprobe)


def best(stored: Floats, probe: Floats, count: int) -> list[tuple[int, float]]:
    """Return the numbers and scores of the vectors that a scan finds."""
    scores = stored.astype(np.float64) @ probe.astype(np.float64)
    return [(int(place), round_score(float(scores[place]))) for place in np.argsort(-scores)[:count]]


@pytest.fixture
async def index(milvus_uri: str) -> AsyncIterator[MilvusIndex]:
    """Yield an index on the server."""
    made = MilvusIndex(milvus_uri)
    yield made
    made.close()


async def seal(index: MilvusIndex, gallery: str) -> None:
    """Let the server write the rows to a segment and index it, as it does by itself with many rows."""

    def wait(client: Any) -> bool:
        (name,) = [one for one in client.list_collections() if one.startswith(f"facegrid_{gallery}")]
        described = client.describe_index(name, "vector")
        return described["indexed_rows"] == described["total_rows"] > 0

    index._connection.call(lambda client: client.flush(f"facegrid_{gallery}", timeout=30))
    while not index._connection.call(wait):
        await asyncio.sleep(0.2)


async def test_an_approximate_search_scores_exactly_and_misses_by_its_nprobe(index: MilvusIndex) -> None:
    """Rows of a sealed segment stand in lists: reading all finds what a scan does, reading one does not."""
    gallery, stored, probes = uuid4().hex, unit_vectors(COUNT, DIMENSION), unit_vectors(20, DIMENSION, seed=1)
    await index.open(gallery, "v1", DIMENSION, reading(1))
    await index.add(gallery, rows_of(stored))
    await seal(index, gallery)
    few = await index.search(gallery, probes, 10, reading(1))
    while all(
        subjects(hits) == [place for place, _ in best(stored, probe, 10)]
        for hits, probe in zip(few, probes, strict=True)
    ):
        await asyncio.sleep(0.2)  # the segment is compared whole until its index is loaded
        few = await index.search(gallery, probes, 10, reading(1))
    for settings in (reading(1024), IndexSettings()):
        for hits, probe in zip(await index.search(gallery, probes, 10, settings), probes, strict=True):
            assert [(int(hit.subject_id), hit.score) for hit in hits] == best(stored, probe, 10)
    for hits, probe in zip(few, probes, strict=True):
        scores = dict(best(stored, probe, COUNT))
        assert [hit.score for hit in hits] == [scores[number] for number in subjects(hits)]
    await index.add(gallery, rows_of(-stored[:1]))
    (hits,) = await index.search(gallery, -stored[:1], 1, reading(1))
    assert (subjects(hits), hits[0].score) == ([0], 1.0)


async def test_rows_that_were_just_added_are_compared_exactly(index: MilvusIndex) -> None:
    """An index of lists needs no rows to be trained on when the gallery is made."""
    gallery, stored, probes = uuid4().hex, unit_vectors(500, DIMENSION), unit_vectors(5, DIMENSION, seed=1)
    assert await index.open(gallery, "v1", DIMENSION, reading(1)) == set()
    assert await index.search(gallery, probes[:1], 10, reading(1)) == [[]]
    await index.add(gallery, rows_of(stored))
    for hits, probe in zip(await index.search(gallery, probes, 10, reading(1)), probes, strict=True):
        assert [(int(hit.subject_id), hit.score) for hit in hits] == best(stored, probe, 10)
