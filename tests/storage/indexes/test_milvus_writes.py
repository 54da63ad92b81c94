"""Writes of several parts to Milvus: who is told of a failure may write next."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from facegrid.domain.errors import StoreUnavailable
from facegrid.storage.indexes.milvus import MilvusIndex, _Opened
from facegrid.storage.indexes.milvus_connection import MilvusConnection, MilvusOptions

URI = "http://127.0.0.1:9"


class NoConnection(MilvusConnection):
    """A connection to nothing: work that needs no client is done."""

    def call(self, work: Callable[[Any], Any]) -> Any:
        """Do the work."""
        return work(None)


class Parts:
    """Work of which the first part fails and the others end once they are released."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.begun, self.released, self.ended = threading.Event(), threading.Event(), set[int]()

    def __call__(self, _: object, part: int) -> None:
        """Do one part."""
        if part == 0:
            raise StoreUnavailable("gone")
        self.begun.set()
        assert self.released.wait(10)
        self.ended.add(part)


@pytest.fixture
def index() -> Iterator[MilvusIndex]:
    """Open an index without a server."""
    made = MilvusIndex(URI)
    made._connection = NoConnection(URI, MilvusOptions())
    made._opened["g"] = _Opened(exact=True, written=0.0)
    yield made
    made.close()


async def test_a_failed_write_is_told_when_no_part_goes_on(index: MilvusIndex) -> None:
    """A row of a part that came later would outlive its deletion."""
    parts = Parts()
    writing = asyncio.create_task(index._write(parts, "g", range(6)))
    await asyncio.to_thread(parts.begun.wait, 10)
    await asyncio.wait([writing], timeout=0.1)
    assert not writing.done()
    parts.released.set()
    with pytest.raises(StoreUnavailable):
        await writing
    assert parts.ended == set(range(1, 6))


async def test_a_cancelled_write_ends_when_no_part_goes_on(index: MilvusIndex) -> None:
    """Its caller lets go of the subjects then."""
    parts = Parts()
    writing = asyncio.create_task(index._write(parts, "g", range(1, 6)))
    await asyncio.to_thread(parts.begun.wait, 10)
    writing.cancel()
    await asyncio.wait([writing], timeout=0.1)
    assert not writing.done()
    parts.released.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert parts.ended == set(range(1, 6))
