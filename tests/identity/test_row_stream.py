"""Rows that are shown while others are read and written."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest

from facegrid.domain.errors import StoreUnavailable
from facegrid.domain.galleries import IndexRows
from facegrid.domain.labels import NO_LABELS
from facegrid.identity.index_state import IndexState
from facegrid.identity.index_writer import IndexWriter
from facegrid.identity.row_stream import stream_rows
from facegrid.storage.indexes.resident import ResidentIndex
from house import House
from index_rows import unit_vectors

DIMENSION, SAMPLES, ENCOUNTERS = 4, 3, 3_000


class WatchedIndex(ResidentIndex):
    """Notes how many additions are under way; `failing` is the number of the one that fails."""

    under_way = most = begun = ended = 0
    failing = -1

    async def add(self, gallery: str, rows: IndexRows) -> None:
        """Add rows, after a while."""
        self.begun, self.under_way = self.begun + 1, self.under_way + 1
        fails, self.most = self.begun == self.failing, max(self.most, self.under_way)
        await asyncio.sleep(0.01 * self.begun)
        self.under_way, self.ended = self.under_way - 1, self.ended + 1
        if fails:
            raise StoreUnavailable("gone")
        await super().add(gallery, rows)


@pytest.fixture
def index() -> Iterator[WatchedIndex]:
    """Make an empty index."""
    made = WatchedIndex(1)
    yield made
    made.close()


async def batches() -> AsyncIterator[IndexRows]:
    """Yield encounters of three samples, so many that a step would end between two of them."""
    count = ENCOUNTERS * SAMPLES
    names = [f"e{row // SAMPLES}" for row in range(count)]
    numbers = np.arange(count) % SAMPLES
    yield IndexRows(names, names, numbers.tolist(), unit_vectors(count, DIMENSION), [NO_LABELS] * count)


async def state_of(index: WatchedIndex, house: House) -> IndexState:
    """Open the index of the house's gallery and return its state."""
    gallery = await house.galleries.get("g")
    await index.open(gallery.gallery_id, gallery.template_version, DIMENSION)
    return IndexState(gallery, IndexWriter(index, gallery))


async def test_all_samples_of_each_encounter_are_shown(index: WatchedIndex, house: House) -> None:
    """No encounter is cut in two and taken for shown when its first samples are; several steps go at once."""
    state = await state_of(index, house)
    shown = [count async for count in stream_rows(state, batches())]
    assert sum(shown) == await index.count(state.gallery.gallery_id) == ENCOUNTERS * SAMPLES
    assert len(state.shown) == ENCOUNTERS
    assert index.most > 1


async def test_a_step_that_fails_ends_with_those_beside_it(index: WatchedIndex, house: House) -> None:
    """The error comes once nothing is under way; another try shows what is missing."""
    state, index.failing = await state_of(index, house), 1
    with pytest.raises(StoreUnavailable):
        _ = [count async for count in stream_rows(state, batches())]
    assert (index.under_way, index.ended) == (0, index.begun)
    assert not state.streams
    _ = [count async for count in stream_rows(state, batches())]
    assert await index.count(state.gallery.gallery_id) == ENCOUNTERS * SAMPLES
