"""Subjects of record, without crashes."""

import errno
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from facegrid.domain.errors import DamagedRecords, RequestIdReused, StorageFull
from facegrid.domain.galleries import Gallery, Tombstone
from facegrid.identity.ports import Claim
from facegrid.storage.objects.store import ObjectStore, UnreadableObject
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.subjects import StoredSubjects
from storage.making import DyingStore, enrol, load, make_call, make_encounter, make_gallery

CREATE = make_call("CreateGallery", "r1")
ENROLL = make_call("Enroll", "r1")


async def page_through(records: StoredRecords, gallery: Gallery, limit: int) -> list[list[str]]:
    """Return the subject ids of all pages."""
    pages, cursor = [], ""
    while True:
        page, cursor = await records.subjects(gallery, cursor, limit)
        pages.append([one.subject_id for one in page])
        if not cursor:
            return pages


async def test_a_claim_knows_its_call_again(records: StoredRecords, gallery: Gallery) -> None:
    """The first claim is new, the same one is seen, and another payload is refused."""
    assert await records.claim(gallery, "jane", "e1", ENROLL) is Claim.NEW
    assert await records.claim(gallery, "jane", "e1", ENROLL) is Claim.SEEN
    with pytest.raises(RequestIdReused):
        await records.claim(gallery, "jane", "e1", make_call("Enroll", "r1", "another"))


async def test_an_encounter_is_read_as_it_was_committed(records: StoredRecords, gallery: Gallery) -> None:
    """Templates come back bit for bit, and everything that was found in the photograph."""
    encounter = make_encounter(1)
    await enrol(records, gallery, encounter)
    (read,) = await load(records, gallery)
    for ours, theirs in zip(encounter.samples, read.samples, strict=True):
        np.testing.assert_array_equal(theirs.template.vector, ours.template.vector)
        assert theirs.template.norm == ours.template.norm
        assert theirs.sha256 == ours.sha256
        assert theirs.photograph_kept == ours.photograph_kept
    ours, theirs = encounter.samples[0].face, read.samples[0].face
    assert ours is not None
    assert theirs is not None
    np.testing.assert_array_equal(theirs.landmarks, ours.landmarks)
    assert (theirs.box, theirs.detection_score, theirs.quality) == (
        ours.box,
        ours.detection_score,
        ours.quality,
    )
    assert read.samples[1].face is None
    assert replace(read, samples=()) == replace(encounter, samples=())


async def test_photographs_are_kept_as_they_came_and_keys_name_nobody(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """Only the sample that has a photograph gets a source, and no key holds the subject's id."""
    await enrol(records, gallery, make_encounter(1, "jane-doe"))
    sources = [key for key in store.keys("") if key.endswith("/source")]
    assert [store.get(key) for key in sources] == [b"photograph"]
    assert not any("jane" in key for key in store.keys(""))


async def test_a_subject_has_its_encounters_oldest_first(records: StoredRecords, gallery: Gallery) -> None:
    """The subject's time is that of its first encounter; an unknown subject is None."""
    await enrol(records, gallery, make_encounter(3), make_encounter(7), make_encounter(5))
    subject = await records.subject(gallery, "jane")
    assert subject is not None
    assert [one.revision for one in subject.encounters] == [3, 5, 7]
    assert subject.created == make_encounter(3).created
    assert await records.subject(gallery, "john") is None


async def test_the_replaced_are_gone_before_they_are_erased(records: StoredRecords, gallery: Gallery) -> None:
    """The commit of their successor alone takes them out of the subject."""
    await enrol(records, gallery, make_encounter(1), make_encounter(2, replaces=[f"{1:032x}"]))
    subject = await records.subject(gallery, "jane")
    assert subject is not None
    assert [one.revision for one in subject.encounters] == [2]


class SlowReads(DyingStore):
    """A store in which something happens between the listing of a subject and the reading of its mark."""

    meanwhile: Callable[[], object] | None = None

    def get(self, key: str) -> bytes:
        """Let it happen, once, and read."""
        if key.endswith("encounter.json") and self.meanwhile:
            happen, self.meanwhile = self.meanwhile, None
            happen()
        return super().get(key)


async def test_a_reader_meets_the_old_or_the_new(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """A subject that is replaced while it is read is found."""
    old, new = make_encounter(1), make_encounter(2, replaces=[f"{1:032x}"])
    await enrol(records, gallery, old)

    def replace_it() -> None:
        subjects = StoredSubjects(store, gallery)
        for write in subjects.samples.writes(new, [None, None]):
            write()
        subjects.mark(new)
        subjects.tidy(subjects.folder("jane"))

    slow = SlowReads(store, writes=2)  # of its opening
    slow.meanwhile = replace_it
    reader = StoredRecords(slow, workers=1)
    subject = await reader.subject(gallery, "jane")
    reader.close()
    assert subject is not None
    assert [one.encounter_id for one in subject.encounters] == [new.encounter_id]


async def test_the_last_encounter_takes_its_subject_along(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """Erasing one of two leaves the other; erasing that one too leaves no object of the subject."""
    one, two = make_encounter(1), make_encounter(2)
    await enrol(records, gallery, one, two)
    await records.erase(gallery, "jane", [one.encounter_id])
    assert [left.encounter_id for left in await load(records, gallery)] == [two.encounter_id]
    await records.erase(gallery, "jane", [two.encounter_id])
    assert await records.subject(gallery, "jane") is None
    assert not any("/subjects/" in key for key in store.keys(""))
    assert (
        await records.claim(gallery, "jane", two.encounter_id, make_call("Enroll", two.request_id))
        is Claim.DELETED
    )


async def test_erasing_nothing_reads_nothing(records: StoredRecords, gallery: Gallery) -> None:
    """An enrolment that replaces none leaves its subject alone."""
    await enrol(records, gallery, make_encounter(1))
    await records.erase(gallery, "jane", [])
    assert len(await load(records, gallery)) == 1


async def test_a_tombstone_is_found_by_its_call_and_hides_its_encounters(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """It holds ids and a revision, and neither the subject's name nor a template."""
    call, tombstone = make_call("DeleteSubject", "d1"), Tombstone((f"{1:032x}",), 9)
    await enrol(records, gallery, make_encounter(1))
    assert await records.tombstone(gallery, call) is None
    for _ in range(2):
        await records.bury(gallery, tombstone, call)
    assert await records.tombstone(gallery, call) == tombstone
    assert await records.subject(gallery, "jane") is None
    assert await records.last_revision(gallery) == 9
    with pytest.raises(RequestIdReused):
        await records.tombstone(gallery, make_call("DeleteSubject", "d1", "another"))
    (key,) = (key for key in store.keys("") if "/tombstones/" in key)
    assert b"jane" not in store.get(key)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_subjects_are_paged_without_gaps(records: StoredRecords, gallery: Gallery, limit: int) -> None:
    """Each subject with an active encounter comes once, whatever the size of a page."""
    names = [f"person-{number}" for number in range(7)]
    await enrol(records, gallery, *(make_encounter(number, name) for number, name in enumerate(names)))
    await records.bury(gallery, Tombstone((f"{3:032x}",), 20), make_call("DeleteSubject", "d1"))
    pages = await page_through(records, gallery, limit)
    assert sorted(name for page in pages for name in page) == [name for name in names if name != "person-3"]
    assert all(len(page) == limit for page in pages[:-1])
    assert 0 < len(pages[-1]) <= limit


@pytest.mark.parametrize("store", ["folder"], indirect=True)
async def test_encounters_come_in_batches(records: StoredRecords, gallery: Gallery) -> None:
    """No batch is larger than 500, and none is empty."""
    for start in range(0, 510, 30):
        await enrol(records, gallery, *(make_encounter(n, f"s{n}") for n in range(start, start + 30)))
    assert [len(batch) async for batch in records.encounters(gallery)] == [500, 10]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"schema_version": 1}', b'{"schema_version": 2}'])
@pytest.mark.parametrize("ending", ["encounter.json", "subject.json"])
async def test_a_damaged_record_is_told_by_its_key(
    records: StoredRecords, gallery: Gallery, store: ObjectStore, ending: str, data: bytes
) -> None:
    """What can't be read is never taken for what is not there."""
    await enrol(records, gallery, make_encounter(1))
    (key,) = (key for key in store.keys("") if key.endswith(ending))
    store.put(key, data)
    with pytest.raises(DamagedRecords, match=key):
        await records.subject(gallery, "jane")


@pytest.mark.parametrize("ending", ["subject.json", "0/templates/open-1.0"])
async def test_a_missing_part_of_a_committed_encounter_is_told_by_its_key(
    records: StoredRecords, gallery: Gallery, store: ObjectStore, ending: str
) -> None:
    """A record with a mark and without its parts is damage, not absence."""
    await enrol(records, gallery, make_encounter(1))
    (key,) = (key for key in store.keys("") if key.endswith(ending))
    store.delete(key)
    with pytest.raises(UnreadableObject, match=key):
        await records.subject(gallery, "jane")


async def test_a_template_of_the_wrong_length_is_told_by_its_key(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """A truncated template does not reach an index."""
    await enrol(records, gallery, make_encounter(1))
    key = next(key for key in store.keys("") if "/templates/" in key)
    store.put(key, store.get(key)[:-4])
    with pytest.raises(UnreadableObject, match=key):
        await load(records, gallery)


class FillingStore(DyingStore):
    """A store whose disk is full before the write after the first `writes`."""

    def _write(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise OSError(errno.ENOSPC, "No space left on device", "/srv/facegrid/1")

    def _check_alive(self) -> None:
        """Read a full disk like any other."""

    def delete_prefix(self, prefix: str) -> None:
        """Remove what takes room."""
        self._store.delete_prefix(prefix)


async def test_a_commit_that_fails_leaves_no_photograph(gallery: Gallery, store: ObjectStore) -> None:
    """Where the disk is full in the middle of an encounter, what was written of it is removed."""
    records = StoredRecords(FillingStore(store, writes=2), workers=1)
    with pytest.raises(StorageFull):
        await records.commit(gallery, make_encounter(1), [b"photograph", b"photograph"])
    records.close()
    assert [key for key in store.keys("") if "/subjects/" in key and not key.endswith("subject.json")] == []


async def test_a_full_disk_names_no_path(store: ObjectStore) -> None:
    """The client learns that the store is full, and nothing of the server's folders."""
    records = StoredRecords(FillingStore(store, writes=0), workers=1)
    with pytest.raises(StorageFull) as caught:
        await records.create_gallery(make_gallery(), CREATE)
    records.close()
    assert "/" not in caught.value.message
