"""An enrolment that failed, and whose last write the store carries out all the same, but later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from facegrid.domain.errors import StoreUnavailable
from facegrid.domain.galleries import Encounter, Tombstone
from facegrid.storage.objects.store import ObjectStore, UnreadableObject
from facegrid.storage.records.records import StoredRecords
from storage.making import DyingStore, compact, enrol, load, make_call, make_encounter, make_gallery

GALLERY = make_gallery()
OLD = make_encounter(1)
LATE = make_encounter(2, replaces=[OLD.encounter_id])


class LateStore(DyingStore):
    """A store that times out on marks and, if it is to be gone then, on all that follows."""

    def __init__(self, store: ObjectStore, *, gone: bool) -> None:
        """Take the store."""
        super().__init__(store, writes=1000)
        self._gone = gone
        self._late: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        """Write later, where it is a mark."""
        if key.endswith("/encounter.json") or (self._late and self._gone):
            self._late.setdefault(key, data)
            raise OSError("timed out")
        super().put(key, data)

    def land(self) -> None:
        """Do what was asked, and work from now on."""
        for key, data in self._late.items():
            self._store.put(key, data)
        self._late.clear()


@asynccontextmanager
async def opened(store: ObjectStore) -> AsyncIterator[StoredRecords]:
    """Start a server on the store; it loads the gallery first."""
    records = StoredRecords(store, workers=2)
    await load(records, GALLERY)
    yield records
    records.close()


async def shown(records: StoredRecords) -> list[str]:
    """Return the ids of Jane's encounters."""
    subject = await records.subject(GALLERY, "jane")
    return [one.encounter_id for one in subject.encounters] if subject else []


async def fail_to_replace(records: StoredRecords) -> None:
    """Enrol Jane anew; nobody is told that it succeeded."""
    with pytest.raises(StoreUnavailable):
        await enrol(records, GALLERY, LATE)


async def delete(records: StoredRecords, encounter: Encounter) -> None:
    """Delete one encounter."""
    call = make_call("DeleteEncounter", encounter.request_id)
    await records.bury(GALLERY, Tombstone((encounter.encounter_id,), 50), call)
    await records.erase(GALLERY, "jane", [encounter.encounter_id])


@pytest.fixture
async def late(store: ObjectStore, request: pytest.FixtureRequest) -> LateStore:
    """Enrol Jane, in a store that is late with all marks after hers."""
    async with opened(store) as records:
        await enrol(records, GALLERY, OLD)
    return LateStore(store, gone=getattr(request, "param", False))


async def test_what_was_removed_when_its_mark_failed_does_not_return(late: LateStore) -> None:
    """Neither at once nor after a start is a mark without templates seen, or what it replaces gone."""
    async with opened(late) as records:
        await fail_to_replace(records)
        late.land()
        assert await shown(records) == [OLD.encounter_id]
        await compact(records, GALLERY)
        assert await shown(records) == [OLD.encounter_id]
    for _ in range(2):
        async with opened(late._store) as records:
            assert await shown(records) == [OLD.encounter_id]


async def test_a_mark_that_comes_after_the_next_start_does_not_count(late: LateStore) -> None:
    """The start removed the templates of what had no mark, and its claim remembers that."""
    async with opened(LateStore(late._store, gone=True)) as dead:
        await fail_to_replace(dead)
        async with opened(late._store) as records:
            dead._store.land()  # type: ignore[attr-defined]
            assert await shown(records) == [OLD.encounter_id]
            await compact(records, GALLERY)
    async with opened(late._store) as records:
        assert await shown(records) == [OLD.encounter_id]


@pytest.mark.parametrize("late", [True], indirect=True)
async def test_what_could_not_be_removed_is_not_seen_before_the_next_start(late: LateStore) -> None:
    """Records show what the index shows; a start may find that the enrolment took place after all."""
    async with opened(late) as records:
        await fail_to_replace(records)
        late.land()
        assert await shown(records) == [OLD.encounter_id]
    async with opened(late._store) as records:
        assert await shown(records) == [LATE.encounter_id]


@pytest.mark.parametrize("late", [False, True], indirect=True)
async def test_a_deletion_covers_an_enrolment_in_doubt(late: LateStore) -> None:
    """Who was deleted after an enrolment that failed stays so, and the gallery loads."""
    async with opened(late) as records:
        await fail_to_replace(records)
        late._gone = False
        await delete(records, OLD)
        late.land()
        assert await shown(records) == []
    async with opened(late._store) as records:
        assert await shown(records) == []


async def test_the_retry_stands_and_its_damage_is_told(late: LateStore, store: ObjectStore) -> None:
    """Once acknowledged, an encounter is never taken for what was discarded before."""
    async with opened(late) as records:
        await fail_to_replace(records)
    async with opened(store) as records:
        await enrol(records, GALLERY, LATE)
        await records.erase(GALLERY, "jane", LATE.replaces)
        late.land()
        assert await shown(records) == [LATE.encounter_id]
    async with opened(store) as records:
        assert await shown(records) == [LATE.encounter_id]
    store.delete(next(key for key in store.keys("") if "/templates/" in key))
    with pytest.raises(UnreadableObject, match="restore it from a backup"):
        async with opened(store):
            pass
