"""Segments on their own: places of rows, bulk writes, and files that can't be read."""

import json

import numpy as np
import pytest

from facegrid.domain.errors import DamagedRecords
from facegrid.identity.writes import Writes
from facegrid.storage.objects.store import UnreadableObject
from facegrid.storage.records import bulk, segment, segment_files
from facegrid.storage.records.followed import FollowedRecords
from facegrid.storage.records.layout import GalleryLayout
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.subjects import StoredSubjects
from storage.making import (
    DIMENSION,
    MemoryStore,
    compact,
    enrol,
    import_columns,
    load,
    make_columns,
    make_encounter,
    make_gallery,
    make_template,
)

GALLERY = make_gallery()


async def written(*counts: int) -> MemoryStore:
    """Return a store with imported templates."""
    store = MemoryStore()
    store.put(GalleryLayout(GALLERY).settings, b"{}")
    await import_columns(store, make_columns(*counts))
    return store


async def found(store: MemoryStore) -> list[str]:
    """Return the subjects of all encounters, whose templates are as they were made."""
    records = StoredRecords(store, workers=1)
    try:
        encounters = await load(records, GALLERY)
    finally:
        records.close()
    for one in encounters:
        expected = make_template(int(one.subject_id.removeprefix("person-"))).vector
        np.testing.assert_array_equal(one.samples[0].template.vector, expected)
    return sorted(one.subject_id for one in encounters)


async def test_imported_templates_are_subjects_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is found by its id, bit for bit, in whichever segment and group of rows it stands."""
    for module in (bulk, segment_files):
        monkeypatch.setattr(module, "SEGMENT_BYTES", 20_000)
    monkeypatch.setattr(segment_files, "_GROUP_BYTES", 4_000)
    store = await written(100, 150)
    assert sum(key.endswith(".parquet") for key in store.keys("")) > 4
    records = StoredRecords(store, workers=2)
    for number in range(250):
        subject = await records.subject(GALLERY, f"person-{number}")
        assert subject is not None
        ((sample,),) = (one.samples for one in subject.encounters)
        np.testing.assert_array_equal(sample.template.vector, make_template(number).vector)
        assert sample.template.norm == 21.5
    assert await records.subject(GALLERY, "person-250") is None
    page, cursor, seen = *(await records.subjects(GALLERY, "", 60)), 0
    while True:
        seen += len(page)
        if not cursor:
            break
        page, cursor = await records.subjects(GALLERY, cursor, 60)
    assert seen == 250
    records.close()


async def test_index_rows_are_those_of_the_encounters() -> None:
    """Columns hold each sample of each encounter, objects and rows alike, and the latest revision."""
    store = await written(3)
    records = StoredRecords(store, workers=1)
    encounters = [make_encounter(1, "ann"), make_encounter(2, "bob"), make_encounter(3, "bob")]
    await enrol(records, GALLERY, *encounters[:2])
    await compact(records, GALLERY)
    await enrol(records, GALLERY, *encounters[2:])
    rows, revisions = {}, []
    async for part, revision in records.rows(GALLERY):
        revisions.append(revision)
        for place, (encounter_id, sample) in enumerate(zip(part.encounter_ids, part.samples, strict=True)):
            rows[encounter_id, sample] = (part.subject_ids[place], part.vectors[place].tolist())
    expected = {
        (one.encounter_id, number): (one.subject_id, sample.template.vector.tolist())
        for one in await load(records, GALLERY)
        for number, sample in enumerate(one.samples)
    }
    assert rows == expected
    assert len(rows) == 9
    assert max(revisions) == 7
    records.close()


async def test_a_damaged_segment_is_told_by_its_key() -> None:
    """A byte that is another never makes another record, wherever it stands."""
    store, seen = await written(40), 0
    (key,) = (key for key in store.keys("") if key.endswith(".parquet"))
    expected, data = await found(store), store.objects[key]
    for place in range(0, len(data), 41):
        store.objects[key] = data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]
        try:
            assert await found(store) == expected  # some bytes of a page's header say nothing
        except UnreadableObject as error:
            seen += key in str(error)
    assert seen > 0.9 * len(data) / 41


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9999])
async def test_a_truncated_segment_is_told_by_its_key(share: float) -> None:
    """Half a file is not half of the records."""
    store = await written(40)
    (key,) = (key for key in store.keys("") if key.endswith(".parquet"))
    store.objects[key] = store.objects[key][: int(share * len(store.objects[key]))]
    with pytest.raises(UnreadableObject, match=key):
        await found(store)


async def test_a_missing_segment_is_told_by_its_key() -> None:
    """A file that the manifest names is not a gallery without records."""
    store = await written(4)
    (key,) = (key for key in store.keys("") if key.endswith(".parquet"))
    store.delete(key)
    with pytest.raises(UnreadableObject, match=key):
        await found(store)


@pytest.mark.parametrize("form", [{"schema_version": 2}, {"schema_version": 1}, {"files": 3}, []])
async def test_a_manifest_that_cannot_be_read_is_told_by_its_key(form: object) -> None:
    """A newer release's manifest is left alone, as is what it names."""
    store = await written(4)
    (key,) = (key for key in store.keys("") if "/manifests/" in key)
    store.objects[key] = json.dumps(form).encode()
    before = dict(store.objects)
    with pytest.raises(DamagedRecords, match=key):
        await found(store)
    assert store.objects == before


async def test_segments_whose_manifest_is_missing_are_left() -> None:
    """A gallery without its manifests is damaged, not empty: no start and no repair removes anything."""
    store = await written(4)
    manifests = {key: store.objects.pop(key) for key in list(store.keys("")) if "/manifests/" in key}
    before = dict(store.objects)
    for opened in (StoredRecords, FollowedRecords):
        records = opened(store, workers=1)
        with pytest.raises(UnreadableObject, match="manifests/ is missing; restore it"):
            await records.subject(GALLERY, "person-0")
        found_there = [one async for one in records.inspect(GALLERY, Writes(1).hold, repair=True)]
        records.close()
        assert [(one.unreadable, len(one.findings)) for one in found_there] == [(True, 1)]
    assert store.objects == before
    store.objects |= manifests
    assert len(await found(store)) == 4


@pytest.mark.parametrize("older", [False, True])
async def test_an_older_manifest_than_the_one_that_is_shown_is_damage(*, older: bool) -> None:
    """Who has the gallery open keeps what it shows, and publishes that where it is told to repair."""
    store = await written(4)
    records = StoredRecords(store, workers=1)
    await load(records, GALLERY)
    segments = (await records.with_subjects(GALLERY, lambda one: one)).segments
    first = {key: store.objects[key] for key in store.keys("") if "/manifests/" in key}
    await enrol(records, GALLERY, make_encounter(9, "eve"))
    await compact(records, GALLERY)
    store.delete_prefix(next(iter(first)).rpartition("/")[0] + "/")
    store.objects |= first if older else {}
    with pytest.raises(UnreadableObject, match="manifests/ is missing"):
        segments.reload()
    async for _ in records.inspect(GALLERY, Writes(1).hold, repair=True):
        pass
    segments.reload()
    expected = {f"person-{number}" for number in range(4)} | {"eve"}
    assert {one.subject_id for one in await load(records, GALLERY)} == expected
    records.close()
    again = StoredRecords(store, workers=1)
    assert {one.subject_id for one in await load(again, GALLERY)} == expected
    again.close()


async def test_a_gallery_that_was_deleted_shows_nothing() -> None:
    """Its manifests may go before who has it open learns of that: there is nothing to restore."""
    store = await written(4)
    segments = StoredSubjects(store, GALLERY).segments
    store.objects.clear()
    segments.reload()
    assert not segments.view.segments


async def test_a_segment_of_a_newer_release_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which version the file has and which one this release reads."""
    with monkeypatch.context() as newer:
        for module in (segment, segment_files):
            newer.setattr(module, "SCHEMA_VERSION", b"2")
        store = await written(4)
    (key,) = (key for key in store.keys("") if key.endswith(".parquet"))
    with pytest.raises(DamagedRecords, match=f"{key} has schema version 2"):
        await found(store)


async def test_dimension_of_another_gallery_is_damage() -> None:
    """Vectors that do not divide into templates are not read."""
    store = await written(4)
    subjects = StoredSubjects(store, GALLERY)
    with pytest.raises(UnreadableObject, match="parquet"):
        subjects.segments.view.segments[0].index_rows(DIMENSION - 1)
