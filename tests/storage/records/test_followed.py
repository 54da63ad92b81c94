"""Records that another server writes: what it did shows at the next read, and never by half."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from facegrid.domain.errors import GalleryNotFound
from facegrid.domain.galleries import Amendment, Tombstone
from facegrid.domain.labels import Labels
from facegrid.storage.objects.read_only import ReadOnlyStore
from facegrid.storage.records.followed import FollowedRecords
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.segments import Segments
from storage.making import MemoryStore, compact, enrol, load, make_call, make_encounter, make_gallery

GALLERY = make_gallery()
ANN, BOB = make_encounter(1, "ann"), make_encounter(2, "bob")


class BusyStore(MemoryStore):
    """A store that becomes another one after the next listing below some part of it."""

    becomes: MemoryStore | None = None
    part = ""

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """List, then change."""
        found = list(super().keys(prefix, after))
        if self.becomes and self.part in prefix:
            self.objects, self.becomes = dict(self.becomes.objects), None
        return iter(found)


class Pair:
    """A writer and a reader of one store."""

    def __init__(self) -> None:
        """Open both."""
        self.store = MemoryStore()
        self.writer = StoredRecords(self.store, workers=1)
        self.reader = FollowedRecords(ReadOnlyStore(self.store), workers=2)

    async def shown(self, subject_id: str = "ann") -> list[str]:
        """Return what the reader sees of a subject."""
        subject = await self.reader.subject(GALLERY, subject_id)
        return [one.encounter_id for one in subject.encounters] if subject else []

    async def listed(self) -> set[str]:
        """Return the subjects that the reader lists."""
        return {one.subject_id for one in (await self.reader.subjects(GALLERY, "", 10))[0]}

    async def delete(self, *encounter_ids: str, subject_id: str = "ann") -> None:
        """Delete encounters of a subject."""
        await self.writer.bury(GALLERY, Tombstone(encounter_ids, 50), make_call("Delete", subject_id))
        await self.writer.erase(GALLERY, subject_id, encounter_ids)

    async def compact(self) -> None:
        """Let the writer compact."""
        await load(self.writer, GALLERY)
        await compact(self.writer, GALLERY)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Enrol two people, whom both have seen."""
    made = Pair()
    await enrol(made.writer, GALLERY, ANN, BOB)
    assert await made.listed() == {"ann", "bob"}
    yield made
    made.writer.close()
    made.reader.close()


async def test_every_change_shows_at_the_next_read(pair: Pair) -> None:
    """Enrolled, compacted, replaced, deleted, and compacted again."""
    again = make_encounter(3, "ann", [ANN.encounter_id])
    assert await pair.shown() == [ANN.encounter_id]
    await pair.compact()
    assert await pair.shown() == [ANN.encounter_id]
    await enrol(pair.writer, GALLERY, again)
    assert await pair.shown() == [again.encounter_id]
    await pair.writer.erase(GALLERY, "ann", again.replaces)
    await pair.compact()
    assert await pair.shown() == [again.encounter_id]
    await pair.delete(again.encounter_id)
    assert await pair.shown() == []
    assert await pair.listed() == {"bob"}
    await pair.compact()
    assert await pair.shown() == []
    assert await pair.shown("bob") == [BOB.encounter_id]


@pytest.mark.parametrize("part", ["subjects/", "tombstones/", "manifests/"])
async def test_what_becomes_a_row_during_a_read_is_seen(pair: Pair, part: str) -> None:
    """Wherever the reader is when the objects go, in one subject and in a list of all."""
    before = MemoryStore(pair.store.objects)
    await pair.compact()
    for one_subject in (True, False):
        store = BusyStore(before.objects)
        pair.reader = FollowedRecords(store, workers=1)
        await pair.shown("nobody")
        store.part, store.becomes = part, pair.store
        if one_subject:
            assert await pair.shown() == [ANN.encounter_id]
        else:
            assert await pair.listed() == {"ann", "bob"}
        assert store.becomes is None


async def test_a_gallery_made_again_is_another_one(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader knows neither its name's old settings nor a deleted gallery."""
    monkeypatch.setattr("facegrid.identity.recent._AGE_S", 0.0)
    await pair.writer.create_gallery(GALLERY, make_call("CreateGallery", "one"))
    assert await pair.reader.gallery("staff") == GALLERY
    await pair.writer.unname_gallery("staff", make_call("DeleteGallery", "two"))
    with pytest.raises(GalleryNotFound):
        await pair.reader.gallery("staff")
    other = replace(GALLERY, gallery_id="b2" * 16)
    await pair.writer.create_gallery(other, make_call("CreateGallery", "three"))
    assert await pair.reader.gallery("staff") == other


async def test_a_former_owner_publishes_in_vain(pair: Pair) -> None:
    """The manifest of a compaction that its successor did not see comes too late."""
    await pair.compact()
    subjects = await pair.writer._of(GALLERY)
    late = replace(
        subjects.segments.view.manifest, number=subjects.segments.view.manifest.number + 1, files=()
    )
    successor = StoredRecords(pair.store, workers=1)
    assert {one.subject_id for one in await load(successor, GALLERY)} == {"ann", "bob"}
    assert not subjects.segments.manifests.publish(late)
    again = Segments(pair.store, subjects.layout)
    assert sum(len(segment.sids) for segment in again.view.segments) == 2
    successor.close()


async def test_changed_labels_show_at_the_next_read(pair: Pair) -> None:
    """So they do once they are part of rows, and where they change again after that."""
    await enrol(pair.writer, GALLERY, ANN)
    await load(pair.writer, GALLERY)

    async def seen(number: int) -> object:
        labels, call = Labels({"number": number}), make_call("UpdateEncounter", f"r{number}")
        await pair.writer.amend(GALLERY, "ann", Amendment(ANN.encounter_id, labels, 100 + number), call)
        await pair.writer.settle(GALLERY, call)
        subject = await pair.reader.subject(GALLERY, "ann")
        return subject and subject.encounters[0].labels.metadata["number"]

    assert [await seen(1), await seen(2)] == [1, 2]
    await compact(pair.writer, GALLERY)
    subject = await pair.reader.subject(GALLERY, "ann")
    assert subject
    assert subject.encounters[0].labels.metadata == {"number": 2}
    assert await seen(3) == 3
    await compact(pair.writer, GALLERY)
    assert await seen(4) == 4
