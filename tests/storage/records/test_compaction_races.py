"""Calls that come in the middle of a compaction, and two compactions at once."""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest

from facegrid.domain.galleries import Tombstone
from facegrid.identity.ports import Claim
from facegrid.storage.records.compaction import Compaction
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.subjects import StoredSubjects
from storage.making import MemoryStore, compact, enrol, load, make_call, make_encounter, make_gallery

GALLERY = make_gallery()
OLD = make_encounter(1)
NEW = make_encounter(2, replaces=[OLD.encounter_id])
DELETE = make_call("DeleteSubject", "delete")


class Desk(NamedTuple):
    """Records with one encounter of Jane's."""

    store: MemoryStore
    records: StoredRecords
    subjects: StoredSubjects

    async def shown(self) -> list[str]:
        """Return the ids of Jane's encounters."""
        subject = await self.records.subject(GALLERY, "jane")
        return [one.encounter_id for one in subject.encounters] if subject else []

    async def replace(self) -> None:
        """Enrol her anew."""
        await enrol(self.records, GALLERY, NEW)
        await self.records.erase(GALLERY, "jane", NEW.replaces)

    async def delete(self, encounter_id: str) -> None:
        """Delete one encounter."""
        await self.records.bury(GALLERY, Tombstone((encounter_id,), 50), DELETE)
        await self.records.erase(GALLERY, "jane", [encounter_id])


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Enrol Jane."""
    store = MemoryStore()
    records = StoredRecords(store, workers=2)
    await records.create_gallery(GALLERY, make_call("CreateGallery", "create"))
    await enrol(records, GALLERY, OLD)
    yield Desk(store, records, await records._of(GALLERY))
    records.close()


def folded(desk: Desk) -> Compaction:
    """Begin a compaction, up to its publication."""
    compaction = Compaction(desk.store, desk.subjects)
    for subject_id in compaction.subject_ids:
        compaction.fold(subject_id)
    return compaction


def finish(compaction: Compaction) -> None:
    """Do the rest."""
    assert compaction.publish()
    for subject_id in compaction.subject_ids:
        compaction.tidy(subject_id)
    compaction.finish()


async def restarted(desk: Desk) -> list[str]:
    """Return the ids of the encounters that a new server finds."""
    records = StoredRecords(desk.store, workers=1)
    found = sorted(one.encounter_id for one in await load(records, GALLERY))
    await compact(records, GALLERY)
    assert sorted(one.encounter_id for one in await load(records, GALLERY)) == found
    records.close()
    return found


async def test_an_encounter_that_was_replaced_meanwhile_is_erased(desk: Desk) -> None:
    """Neither the new row nor, later, the death of its successor brings it back."""
    compaction = folded(desk)
    await desk.replace()
    assert await desk.shown() == [NEW.encounter_id]
    finish(compaction)
    assert await desk.shown() == [NEW.encounter_id]
    await desk.delete(NEW.encounter_id)
    assert await desk.shown() == []
    assert await restarted(desk) == []


async def test_an_encounter_that_was_deleted_meanwhile_is_erased(desk: Desk) -> None:
    """It is hidden from the first moment, and its request id stays that of a deleted encounter."""
    compaction = folded(desk)
    await desk.delete(OLD.encounter_id)
    finish(compaction)
    assert await desk.shown() == []
    call = make_call("Enroll", OLD.request_id)
    assert await desk.records.find_claim(GALLERY, OLD.encounter_id, call) is Claim.DELETED
    assert await restarted(desk) == []


@pytest.mark.parametrize("published", [False, True])
async def test_an_encounter_that_came_meanwhile_stays(desk: Desk, *, published: bool) -> None:
    """What was not folded keeps its objects, that of its subject included."""
    compaction, another = folded(desk), make_encounter(3)
    if published:
        assert compaction.publish()
    await enrol(desk.records, GALLERY, another)
    if published:
        compaction.tidy("jane")
        compaction.finish()
    else:
        finish(compaction)
    assert await desk.shown() == [OLD.encounter_id, another.encounter_id]
    assert await restarted(desk) == [OLD.encounter_id, another.encounter_id]


async def test_a_deletion_that_is_not_finished_keeps_its_tombstone(desk: Desk) -> None:
    """A tombstone goes when nothing is left of what it hides, and not before."""
    await desk.records.bury(GALLERY, Tombstone((OLD.encounter_id,), 50), DELETE)
    finish(folded(desk))
    assert [key for key in desk.store.keys("") if "/tombstones/" in key]
    assert await restarted(desk) == []
    assert not [key for key in desk.store.keys("") if "/tombstones/" in key]


class Interrupted(MemoryStore):
    """A store in which something happens before the next read of a key."""

    def __init__(self, store: MemoryStore, ending: str, act: Callable[[], object]) -> None:
        """Share the objects of a store."""
        super().__init__()
        self.objects, self._ending, self._act = store.objects, ending, [act]

    def get(self, key: str) -> bytes:
        """Let it happen, once, and read."""
        if key.endswith(self._ending) and self._act:
            self._act.pop()()
        return super().get(key)


@pytest.mark.parametrize("ending", ["subject.json", "encounter.json", "templates/open-1.0"])
async def test_a_reader_meets_objects_or_their_row(desk: Desk, ending: str) -> None:
    """A compaction between any two reads of a subject changes nothing of what is read."""
    compaction = folded(desk)
    store = Interrupted(desk.store, ending, lambda: finish(compaction))
    desk.subjects._store = desk.subjects.samples._store = store
    assert await desk.shown() == [OLD.encounter_id]
    assert not [key for key in desk.store.keys("") if key.endswith(ending)]


async def test_a_reader_meets_no_half_of_what_became_a_row(desk: Desk) -> None:
    """Where templates go while a subject is read, it is read again."""
    compaction = folded(desk)

    def publish() -> None:
        assert compaction.publish()
        for key in [key for key in desk.store.keys("") if "/templates/" in key]:
            desk.store.delete(key)

    desk.subjects._store = Interrupted(desk.store, "templates/open-1.0", publish)
    assert await desk.shown() == [OLD.encounter_id]


class Late(MemoryStore):
    """A store that times out on a conditional write, and carries it out later."""

    def __init__(self, store: MemoryStore) -> None:
        """Share the objects of a store."""
        super().__init__()
        self.objects, self._late = store.objects, dict[str, bytes]()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Fail, once."""
        if self._late:
            return super().put_if_absent(key, data)
        self._late[key] = data
        raise OSError("timed out")

    def land(self) -> None:
        """Do what was asked, if its condition still holds."""
        for key, data in self._late.items():
            self.objects.setdefault(key, data)


@pytest.mark.parametrize("compacted", [False, True])
async def test_a_manifest_that_comes_late_brings_nobody_back(desk: Desk, *, compacted: bool) -> None:
    """It may hold rows that were replaced since, by encounters that were deleted since."""
    late = Late(desk.store)
    desk.subjects.segments.manifests._store = late
    with pytest.raises(OSError, match="timed out"):
        folded(desk).publish()
    following = Compaction(desk.store, desk.subjects)
    await desk.replace()
    await desk.delete(NEW.encounter_id)
    if compacted:
        finish(following)
    late.land()
    assert await restarted(desk) == []


@pytest.mark.parametrize("compacted", [False, True])
async def test_a_dead_servers_first_manifest_counts_no_more_when_another_has_opened(
    desk: Desk, *, compacted: bool
) -> None:
    """Its rows are of somebody who was replaced since, and deleted, by the server that took over."""
    late = Late(desk.store)
    desk.subjects.segments.manifests._store = late
    with pytest.raises(OSError, match="timed out"):
        folded(desk).publish()
    records = StoredRecords(desk.store, workers=1)
    successor = Desk(desk.store, records, await records._of(GALLERY))
    await successor.replace()
    await successor.delete(NEW.encounter_id)
    if compacted:
        await compact(records, GALLERY)
    late.land()
    assert await successor.shown() == []
    assert await restarted(successor) == []
    records.close()


async def test_of_two_servers_that_compact_one_wins(desk: Desk) -> None:
    """The other sees that it lost, even where its number has become free again, and removes nothing."""
    late = folded(desk)
    other = StoredRecords(desk.store, workers=1)
    for number in (3, 4):
        await enrol(other, GALLERY, make_encounter(number))
        await compact(other, GALLERY)
    other.close()
    assert not any(key.endswith("/000000000001.json") for key in desk.store.keys(""))
    assert not late.publish()
    assert len(await desk.shown()) == 3
    assert len(await restarted(desk)) == 3
