"""A rebuild beside all that goes on meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from facegrid.domain.errors import GalleryNotFound, MaintenanceRunning, StoreUnavailable
from facegrid.domain.galleries import Gallery, IndexRows
from facegrid.identity.enroll import EnrollMode
from facegrid.identity.projection import Projection
from facegrid.identity.rebuild import RebuildIndex, Rebuilt
from facegrid.storage.indexes.resident import ResidentIndex
from fakes import FakeVision, fake_template
from house import House, build_house, call


class PausedRecords:
    """Records that read their rows and give them out once they are released."""

    def __init__(self, house: House) -> None:
        """Take the real records."""
        self._records = house.records
        self.read, self.released = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> object:
        """Do all else as the real records do."""
        return getattr(self._records, name)

    async def live_rows(self, gallery: Gallery) -> AsyncGenerator[IndexRows]:
        """Read, wait, yield."""
        async with aclosing(self._records.live_rows(gallery)) as batches:
            async for rows in batches:
                self.read.set()
                await self.released.wait()
                yield rows


class FullIndex(ResidentIndex):
    """An index that has no room for a second set of rows."""

    async def add(self, gallery: str, rows: IndexRows) -> None:
        """Fail beside the one in service."""
        if "-" in gallery:
            raise StoreUnavailable("no room")
        await super().add(gallery, rows)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Yield the use cases with a gallery of three subjects, read by a projection that can be paused."""
    built = build_house(tmp_path, FakeVision())
    await built.make_gallery()
    for name in ("ann", "bob", "cid"):
        await built.add(name, name.encode(), f"{name}#2".encode())
    yield built
    built.close()


async def rebuild(house: House) -> list[Rebuilt]:
    """Rebuild gallery "g"."""
    return [step async for step in RebuildIndex(house.galleries, house.projection)("g")]


async def test_a_rebuild_makes_the_index_of_the_records_alone(house: House) -> None:
    """What the index lost comes back, what it had too much goes, and the last step counts it all."""
    gallery = await house.galleries.get("g")
    kept = await house.records.subject(gallery, "ann")
    assert kept
    await house.index.remove(gallery.gallery_id, [one.encounter_id for one in kept.encounters])
    assert await house.found(b"ann") == []
    steps = await rebuild(house)
    assert (steps[-1].encounters, steps[-1].total, steps[-1].templates) == (3, 3, 6)
    assert [await house.found(name) for name in (b"ann", b"bob", b"cid")] == [["ann"], ["bob"], ["cid"]]
    assert list(house.index._galleries) == [gallery.gallery_id]


async def test_what_changes_during_a_rebuild_is_as_it_was_changed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enrolments, deletions and replacements after the records were read stand, also after the switch."""
    paused = PausedRecords(house)
    monkeypatch.setattr(house.projection, "_records", paused)
    running = asyncio.create_task(rebuild(house))
    await paused.read.wait()
    await house.add("dan", b"dan")
    await house.add("bob", b"eve", mode=EnrollMode.REPLACE)
    await house.subjects.delete(call("DeleteSubject"), "g", "cid")
    people = (b"ann", b"bob", b"cid", b"dan", b"eve")
    expected = [["ann"], [], [], ["dan"], ["bob"]]
    assert [await house.found(name) for name in people] == expected
    paused.released.set()
    await running
    assert [await house.found(name) for name in people] == expected
    await house.add("cid", b"cid")
    assert await house.found(b"cid") == ["cid"]


async def test_searches_go_on_while_an_index_takes_the_place_of_another(house: House) -> None:
    """No search fails or finds less, over several rebuilds."""
    gallery, probe = await house.galleries.get("g"), fake_template(b"ann").vector[None]
    done = asyncio.Event()

    async def search() -> None:
        while not done.is_set():
            (hits,) = await house.projection.search(gallery, probe, 3)
            assert len(hits) == 3

    searching = asyncio.create_task(search())
    for _ in range(5):
        await rebuild(house)
    done.set()
    await searching


async def test_one_rebuild_a_gallery_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one is refused; the first, called off, leaves the old index as it was."""
    paused = PausedRecords(house)
    monkeypatch.setattr(house.projection, "_records", paused)
    running = asyncio.create_task(rebuild(house))
    await paused.read.wait()
    with pytest.raises(MaintenanceRunning, match="gallery g"):
        await rebuild(house)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gallery = await house.galleries.get("g")
    assert list(house.index._galleries) == [gallery.gallery_id]
    paused.released.set()
    await rebuild(house)
    assert await house.found(b"ann") == ["ann"]


async def test_a_rebuild_that_fails_leaves_the_old_index_in_service(house: House) -> None:
    """Searches and enrolments go on as before."""
    gallery = await house.galleries.get("g")
    projection = Projection(house.records, FullIndex(workers=1))
    with pytest.raises(StoreUnavailable):
        async for _ in projection.rebuild(gallery):
            pass
    (hits,) = await projection.search(gallery, fake_template(b"ann").vector[None], 1)
    assert hits[0].subject_id == "ann"


async def test_a_gallery_that_is_deleted_meanwhile_is_not_found(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is left in the index."""
    paused = PausedRecords(house)
    monkeypatch.setattr(house.projection, "_records", paused)
    running = asyncio.create_task(rebuild(house))
    await paused.read.wait()
    await house.galleries.delete(call("DeleteGallery"), "g")
    paused.released.set()
    with pytest.raises(GalleryNotFound):
        await running
    assert house.index._galleries == {}
