"""Exports: each encounter once, beside those who write."""

from collections.abc import Callable

import pytest

from facegrid.domain.galleries import Encounter, Tombstone
from facegrid.storage.records.compaction import Compaction
from facegrid.storage.records.export import export_page
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.subjects import StoredSubjects
from storage.making import (
    MemoryStore,
    compact,
    enrol,
    import_columns,
    make_call,
    make_columns,
    make_encounter,
    make_gallery,
)

GALLERY = make_gallery()


async def exported(records: StoredRecords, rows: int = 1000) -> list[str]:
    """Return the subjects of all encounters of an export."""
    found, cursor, more = [], "", True
    while more:
        page, cursor = await records.export_page(GALLERY, cursor, rows)
        found += [one.subject_id for one in page]
        assert all(sample.template.vector.any() for one in page for sample in one.samples)
        more = bool(cursor)
    return sorted(found)


@pytest.mark.parametrize("rows", [1, 3, 1000])
async def test_rows_and_objects_of_all_pages(rows: int) -> None:
    """Whatever the size of a page; what was deleted is not there."""
    store = MemoryStore()
    await import_columns(store, make_columns(8))
    await import_columns(store, make_columns(4), request_id="other")
    records = StoredRecords(store, workers=1)
    await enrol(
        records, GALLERY, make_encounter(1, "ann"), make_encounter(2, "bob"), make_encounter(3, "bob")
    )
    await compact(records, GALLERY)
    await enrol(records, GALLERY, make_encounter(4, "bob"), make_encounter(5, "person-1"), make_encounter(6))
    await records.bury(GALLERY, Tombstone((f"{1:032x}",), 9), make_call("DeleteSubject", "d"))
    everybody = [f"person-{number}" for number in (*range(8), *range(4))]
    assert await exported(records, rows) == sorted([*everybody, "bob", "bob", "bob", "person-1", "jane"])
    records.close()


async def test_an_empty_gallery_has_one_empty_page() -> None:
    """No more is asked for."""
    records = StoredRecords(MemoryStore(), workers=1)
    assert await records.export_page(GALLERY, "", 1000) == ([], "")
    records.close()


async def test_a_photograph_is_read_until_it_is_removed() -> None:
    """Whether its encounter is objects or a row."""
    records = StoredRecords(MemoryStore(), workers=1)
    encounter = make_encounter(1)
    await enrol(records, GALLERY, encounter)
    assert await records.photograph(GALLERY, encounter, 0) == b"photograph"
    assert await records.photograph(GALLERY, encounter, 1) is None
    await compact(records, GALLERY)
    assert await records.photograph(GALLERY, encounter, 0) == b"photograph"
    await records.erase(GALLERY, encounter.subject_id, [encounter.encounter_id])
    assert await records.photograph(GALLERY, encounter, 0) is None
    records.close()


class Interrupted:
    """Segments that let something happen before their rows are read."""

    def __init__(self, subjects: StoredSubjects, act: Callable[[], None]) -> None:
        """Take the segments' place."""
        self._between, self._act = subjects.segments.between, act
        subjects.segments.between = self.between  # type: ignore[method-assign]

    def between(self, after: str, last: str) -> list[Encounter]:
        """Let it happen, then read."""
        self._act()
        return self._between(after, last)


async def test_a_compaction_meanwhile_neither_hides_nor_doubles() -> None:
    """What was an object when objects were listed is a row when rows are read."""
    store = MemoryStore()
    records = StoredRecords(store, workers=1)
    await enrol(records, GALLERY, make_encounter(1, "ann"), make_encounter(2, "bob"))
    subjects = StoredSubjects(store, GALLERY)

    def compact_all() -> None:
        compaction = Compaction(store, subjects)
        for subject_id in compaction.subject_ids:
            compaction.fold(subject_id)
        compaction.publish()
        for subject_id in compaction.subject_ids:
            compaction.tidy(subject_id)

    Interrupted(subjects, compact_all)
    page, _ = export_page(subjects, "", 1000)
    assert sorted(one.subject_id for one in page) == ["ann", "bob"]
    assert not next(iter(subjects.stored_folders())).committed
    records.close()


async def test_a_replacement_meanwhile_is_seen_as_a_whole() -> None:
    """A subject whose row goes while it is exported is there with what took the row's place."""
    store = MemoryStore()
    await import_columns(store, make_columns(1))
    subjects = StoredSubjects(store, GALLERY)
    ((old,), _) = export_page(subjects, "", 1000)
    new = make_encounter(5, old.subject_id, replaces=[old.encounter_id])

    def replace() -> None:
        for write in subjects.samples.writes(new, [None, None]):
            write()
        subjects.mark(new)
        subjects.tidy(subjects.folder(new.subject_id), new.replaces)

    Interrupted(subjects, replace)
    page, _ = export_page(subjects, "", 1000)
    assert [one.encounter_id for one in page] == [new.encounter_id]
