"""What an index promises to several servers."""

from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import pytest

from facegrid.domain.errors import StoreUnavailable
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexRows
from facegrid.domain.labels import NO_LABELS
from facegrid.storage.indexes.milvus import MilvusIndex

pytestmark = pytest.mark.integration
DIMENSION = 16


@pytest.fixture
def two(milvus_uri: str) -> Iterator[tuple[MilvusIndex, MilvusIndex]]:
    """Connect two servers to one Milvus."""
    made = MilvusIndex(milvus_uri), MilvusIndex(milvus_uri)
    yield made
    for index in made:
        index.close()


def rows(vectors: Floats) -> IndexRows:
    """Return a row for each vector."""
    names = [f"e{number}" for number in range(len(vectors))]
    return IndexRows(names, names, [0] * len(vectors), vectors, [NO_LABELS] * len(vectors))


async def test_another_server_sees_what_was_acknowledged(two: tuple[MilvusIndex, MilvusIndex]) -> None:
    """At once where it is told to look, additions and removals alike."""
    writer, reader = two
    gallery, vectors = uuid4().hex, np.eye(4, DIMENSION, dtype=np.float32)
    await writer.open(gallery, "v1", DIMENSION)
    for removed in range(3):
        await writer.add(gallery, rows(vectors))
        reader.follow(gallery)
        assert len((await reader.search(gallery, vectors[:1], 10))[0]) == 4
        await writer.remove(gallery, [f"e{removed}"])
        reader.follow(gallery)
        assert len((await reader.search(gallery, vectors[:1], 10))[0]) == 3
        assert await reader.count(gallery) == await writer.count(gallery) == 3


async def test_a_collection_is_known_again_and_no_other(two: tuple[MilvusIndex, MilvusIndex]) -> None:
    """Neither one of another version, nor one that was made anew, nor one that is gone."""
    first, second = two
    gallery = uuid4().hex
    assert await first.resume(gallery, "v1") == ""
    await first.open(gallery, "v1", DIMENSION)
    place = await first.resume(gallery, "v1")
    assert place
    assert await second.resume(gallery, "v1") == place
    assert await second.resume(gallery, "v2") == ""
    await second.add(gallery, rows(np.eye(1, DIMENSION, dtype=np.float32)))
    await second.drop(gallery)
    assert await first.resume(gallery, "v1") == ""
    await first.open(gallery, "v1", DIMENSION)
    assert await first.resume(gallery, "v1") not in {"", place}


async def test_a_server_that_lost_its_place_writes_nothing(milvus_uri: str) -> None:
    """What says so is asked before each write."""
    lost = False

    def check() -> None:
        if lost:
            raise OSError

    index, gallery = MilvusIndex(milvus_uri, check_owner=check), uuid4().hex
    await index.open(gallery, "v1", DIMENSION)
    lost = True
    with pytest.raises(StoreUnavailable):
        await index.add(gallery, rows(np.eye(1, DIMENSION, dtype=np.float32)))
    assert await index.count(gallery) == 0
    index.close()
