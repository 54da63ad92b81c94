"""How long a deleted template may stay in a segment, and what makes a compaction due."""

from datetime import UTC, datetime, timedelta

from facegrid.domain.galleries import Tombstone
from facegrid.storage.records.records import StoredRecords
from storage.making import MemoryStore, make_call, make_encounter
from storage.records.test_compaction import JANES, compact, make_compacted
from storage.records.test_crashes import GALLERY, enrol, ids, load, opened

_MANY = 1_000


async def bury(records: StoredRecords) -> None:
    """Delete one of Jane's encounters."""
    await records.bury(GALLERY, Tombstone(tuple(ids(JANES[:1])), 50), make_call("DeleteEncounter", "one"))
    await records.erase(GALLERY, "jane", ids(JANES[:1]))


def is_due(records: StoredRecords, hours: float) -> bool:
    """Say whether a compaction is due so many hours from now, however few changes there are."""
    day_before = datetime.now(UTC) + timedelta(hours=hours) - timedelta(days=1)
    return records.due(_MANY, day_before) == [GALLERY]


async def test_a_deleted_row_is_erased_within_its_time() -> None:
    """Its compaction is due a day after the deletion, also where the server starts again meanwhile."""
    store, template = MemoryStore(), JANES[0].samples[0].template.to_bytes()
    async with opened(store) as records:
        await make_compacted(records)
        await load(records)
        assert not is_due(records, hours=25)
        await bury(records)
        assert (is_due(records, hours=23), is_due(records, hours=25)) == (False, True)
    async with opened(store) as records:
        await load(records)
        assert (is_due(records, hours=23), is_due(records, hours=25)) == (False, True)
        assert any(template in data for data in store.objects.values())
        await compact(records)
        assert not is_due(records, hours=25)
    assert not any(template in data for data in store.objects.values())


async def test_a_deletion_of_small_objects_alone_makes_no_compaction_due() -> None:
    """Their templates went with the deletion."""
    async with opened(MemoryStore()) as records:
        await records.create_gallery(GALLERY, make_call("CreateGallery", "r1"))
        for one in JANES:
            await enrol(records, one)
        await load(records)
        await bury(records)
        assert not is_due(records, hours=25)


async def test_a_load_that_is_made_again_counts_once() -> None:
    """Ten changes stay ten, however often the index is filled from them."""
    async with opened(MemoryStore()) as records:
        await records.create_gallery(GALLERY, make_call("CreateGallery", "r1"))
        for number in range(10):
            await enrol(records, make_encounter(number, f"s{number}"))
        for _ in range(3):
            await load(records)
        now = datetime.now(UTC)
        assert records.due(10, now) == [GALLERY]
        assert records.due(11, now) == []
