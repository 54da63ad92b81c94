"""The index beside its records: what searches see while either is slow, fails or goes away."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from facegrid.domain.errors import GalleryNotFound, IndexLoading, StoreUnavailable
from facegrid.domain.galleries import Gallery, IndexRows
from facegrid.identity.enroll import EnrollMode
from facegrid.identity.projection import Projection
from facegrid.storage.indexes.resident import ResidentIndex
from fakes import fake_template
from house import House, call


class SlowRecords:
    """Records whose rows come once they are released."""

    def __init__(self, house: House) -> None:
        """Take the real records."""
        self._records = house.records
        self.released = asyncio.Event()

    async def rows(self, gallery: Gallery) -> AsyncIterator[tuple[IndexRows, int]]:
        """Wait, then yield what there is."""
        await self.released.wait()
        async for batch in self._records.rows(gallery):
            yield batch

    async def watermark(self, gallery_id: str) -> None:
        """Know of no earlier index."""

    async def last_revision(self, gallery: Gallery) -> int:
        """Return that of the real records."""
        return await self._records.last_revision(gallery)


class ForgetfulIndex(ResidentIndex):
    """An index that does not answer removals."""

    async def remove(self, gallery: str, encounter_ids: Sequence[str]) -> None:  # noqa: ARG002  # the port
        """Fail where there is something to remove."""
        if encounter_ids:
            raise StoreUnavailable("the index does not answer")


async def test_an_index_that_is_loading_never_answers_in_part(house: House) -> None:
    """A caller who cannot wait for the whole index gets INDEX_LOADING, and one who can the whole answer."""
    await house.add("ann", b"ann")
    gallery, slow = await house.galleries.get("g"), SlowRecords(house)
    projection = Projection(slow, ResidentIndex(workers=1))  # type: ignore[arg-type]
    with pytest.raises(IndexLoading):
        await projection.ready(gallery, call("Identify", timeout_s=0.05).deadline)
    slow.released.set()
    await projection.ready(gallery)
    assert projection.subject_count(gallery) == 1


async def test_a_gallery_deleted_while_it_loads_is_not_found(house: House) -> None:
    """Those who wait for it get GALLERY_NOT_FOUND, at once and without a hanging call."""
    await house.add("ann", b"ann")
    gallery, slow = await house.galleries.get("g"), SlowRecords(house)
    projection = Projection(slow, ResidentIndex(workers=1))  # type: ignore[arg-type]
    waiting = [asyncio.create_task(projection.ready(gallery)) for _ in range(3)]
    await asyncio.sleep(0)
    dropping = asyncio.create_task(projection.drop(gallery.gallery_id))
    await asyncio.sleep(0)
    slow.released.set()
    await dropping
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [GalleryNotFound] * 3
    with pytest.raises(GalleryNotFound):
        await projection.ready(gallery)


async def test_a_retried_replacement_never_hides_its_subject(house: House) -> None:
    """While the same REPLACE is sent again and again, each search finds the subject."""
    await house.add("ann", b"ann", request_id="first")
    await house.add("ann", b"ann#2", mode=EnrollMode.REPLACE, request_id="second")
    done = asyncio.Event()

    async def retry() -> None:
        for _ in range(30):
            await house.add("ann", b"ann#2", mode=EnrollMode.REPLACE, request_id="second")
        done.set()

    async def search() -> None:
        gallery, probe = await house.galleries.get("g"), fake_template(b"ann").vector[None]
        while not done.is_set():
            (hits,) = await house.projection.search(gallery, probe, 5)
            assert [hit.subject_id for hit in hits] == ["ann"]

    await asyncio.gather(retry(), search())


async def test_what_the_index_did_not_remove_stays_hidden(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion whose index fails is never undone by time."""
    monkeypatch.setattr("facegrid.identity.projection._HIDDEN_FOR_S", 0.0)
    encounter = await house.add("ann", b"ann")
    gallery = await house.galleries.get("g")
    projection = Projection(house.records, ForgetfulIndex(workers=1))
    await projection.ready(gallery)
    with pytest.raises(StoreUnavailable):
        await projection.remove(gallery, [encounter.encounter_id], encounter.revision + 1)
    await asyncio.sleep(0.05)
    assert await projection.search(gallery, fake_template(b"ann").vector[None], 5) == [[]]
