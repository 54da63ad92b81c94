"""Labels of encounters in the records, as objects and as rows of segments."""

from dataclasses import replace

import pytest

from facegrid.domain.galleries import Gallery
from facegrid.domain.labels import Labels, Status
from facegrid.storage.records.records import StoredRecords
from storage.making import compact, enrol, load, make_encounter

LABELS = Labels({"country": "DE", "born": 1980, "height": 1.75, "visa": True}, ("residents", "north"))


@pytest.mark.parametrize("compacted", [False, True])
async def test_labels_come_back(records: StoredRecords, gallery: Gallery, *, compacted: bool) -> None:
    """An encounter keeps its labels with their types, and so do the rows of an index."""
    encounter = replace(make_encounter(1, "alice"), labels=LABELS)
    await enrol(records, gallery, encounter)
    if compacted:
        await load(records, gallery)
        await compact(records, gallery)
    subject = await records.subject(gallery, "alice")
    assert subject
    assert [one.labels for one in subject.encounters] == [LABELS]
    assert [type(value) for value in subject.encounters[0].labels.metadata.values()] == [
        str,
        int,
        float,
        bool,
    ]
    batches = [rows async for rows, _ in records.rows(gallery)]
    assert [one for rows in batches for one in rows.labels] == [LABELS] * len(encounter.samples)


@pytest.mark.parametrize("compacted", [False, True])
async def test_inactive_encounters_have_no_rows(
    records: StoredRecords, gallery: Gallery, *, compacted: bool
) -> None:
    """What is inactive is kept in the records and not shown to an index."""
    await enrol(records, gallery, replace(make_encounter(1, "alice"), labels=Labels(status=Status.INACTIVE)))
    await enrol(records, gallery, make_encounter(2, "bob"))
    if compacted:
        await load(records, gallery)
        await compact(records, gallery)
    batches = [rows async for rows, _ in records.rows(gallery)]
    assert {one for rows in batches for one in rows.subject_ids} == {"bob"}
    assert await records.subject(gallery, "alice")
