"""Imports of templates: whole or not at all, once, and read as any other encounters."""

from datetime import datetime
from itertools import count

import numpy as np
import pytest

from facegrid.domain.calls import Call
from facegrid.domain.columns import TemplateColumns
from facegrid.domain.errors import RequestIdReused, StoreUnavailable
from facegrid.domain.labels import NO_LABELS, Labels, Status
from facegrid.storage.records import bulk
from facegrid.storage.records.records import StoredRecords
from storage.making import (
    VERSION,
    DyingStore,
    MemoryStore,
    PowerCut,
    compact,
    enrol,
    import_columns,
    import_into,
    load,
    make_call,
    make_columns,
    make_encounter,
    make_gallery,
    make_template,
)

GALLERY = make_gallery()


async def people(store: MemoryStore) -> list[str]:
    """Return the subjects of all encounters."""
    records = StoredRecords(store, workers=1)
    try:
        return sorted(one.subject_id for one in await load(records, GALLERY))
    finally:
        records.close()


def files(store: MemoryStore) -> int:
    """Return the number of segments, whether they count or not."""
    return sum(key.endswith(".parquet") for key in store.keys(""))


async def test_an_import_is_all_or_nothing_and_its_retry_completes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A power cut before any write leaves none of it, and a repeated call adds nothing twice."""
    monkeypatch.setattr(bulk, "SEGMENT_BYTES", 100)
    everybody = [f"person-{number}" for number in range(5)]
    for writes in count():
        store, finished = MemoryStore(), True
        try:
            await import_columns(DyingStore(store, writes), make_columns(3, 2))
        except PowerCut:
            finished = False
        assert await people(store) in ([], everybody)
        await import_columns(store, make_columns(3, 2))
        assert await people(store) == everybody
        if finished:
            assert writes > 2
            return


async def test_a_retry_gets_the_first_revision_and_leaves_no_file() -> None:
    """Though it was written a second time before that was known."""
    store = MemoryStore()
    assert await import_columns(store, make_columns(3, 2), revision=7) == 7
    before = files(store)
    assert await import_columns(store, make_columns(3, 2), revision=9) == 7
    assert (len(await people(store)), files(store)) == (5, before)


async def test_a_request_id_with_other_templates_is_refused() -> None:
    """What was written of them goes when they are given up."""
    store = MemoryStore()
    records = StoredRecords(store, workers=1)
    await import_columns(store, make_columns(3))
    before = files(store)
    call = make_call("ImportTemplates", "i1", "other payload")
    incoming = await records.begin_import(GALLERY, call, 8)
    (columns,) = make_columns(4)
    await incoming.add(columns)
    with pytest.raises(RequestIdReused):
        await incoming.publish(call)
    await incoming.discard()
    assert (len(await people(store)), files(store)) == (3, before)
    records.close()


async def test_an_import_that_was_given_up_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments that were full already are removed."""
    monkeypatch.setattr(bulk, "SEGMENT_BYTES", 100)
    store = MemoryStore()
    records = StoredRecords(store, workers=1)
    incoming = await records.begin_import(GALLERY, make_call("ImportTemplates", "i1"), 7)
    for columns in make_columns(3, 2):
        await incoming.add(columns)
    await incoming.discard()
    assert not files(store)
    records.close()


async def test_compactions_go_on_beside_an_import() -> None:
    """What each of them wrote counts, and what another call imported meanwhile."""
    store = MemoryStore()
    records = StoredRecords(store, workers=1)
    call = make_call("ImportTemplates", "i1")
    incoming = await records.begin_import(GALLERY, call, 7)
    first, second = make_columns(3, 2)
    await incoming.add(first)
    await enrol(records, GALLERY, make_encounter(1, "ann"))
    await compact(records, GALLERY)
    await import_into(records, make_columns(1), request_id="other")
    await incoming.add(second)
    await incoming.publish(call)
    assert len(await people(store)) == 7
    records.close()


async def test_an_import_that_too_many_compactions_overtook_adds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its files would be swept away: it is told so, and may be made again."""
    monkeypatch.setattr(bulk, "_MANIFESTS_MEANWHILE", 1)
    store = MemoryStore()
    records = StoredRecords(store, workers=1)
    call = make_call("ImportTemplates", "i1")
    incoming = await records.begin_import(GALLERY, call, 7)
    (columns,) = make_columns(3)
    await incoming.add(columns)
    await import_into(records, make_columns(2), request_id="other")
    with pytest.raises(StoreUnavailable):
        await incoming.publish(call)
    await incoming.discard()
    assert len(await people(store)) == 2
    await import_columns(store, make_columns(3))
    assert len(await people(store)) == 5
    records.close()


async def test_an_import_that_another_server_overtook_adds_nothing() -> None:
    """It is told so, and its retry finds the server that writes now."""
    store = MemoryStore()
    records = StoredRecords(store, workers=1)
    call = make_call("ImportTemplates", "i1")
    incoming = await records.begin_import(GALLERY, call, 7)
    (columns,) = make_columns(3)
    await incoming.add(columns)
    await import_columns(store, make_columns(2), request_id="other")
    with pytest.raises(StoreUnavailable):
        await incoming.publish(call)
    assert len(await people(store)) == 2
    records.close()


async def test_what_a_compaction_replaced_goes_at_once() -> None:
    """A file of an import is named for a later manifest, and is known to be garbage all the same."""
    store = MemoryStore()
    await import_columns(store, make_columns(3))
    await import_columns(store, make_columns(2), request_id="other")
    assert files(store) == 2
    records = StoredRecords(store, workers=1)
    await compact(records, GALLERY)
    assert files(store) == 1
    assert len(await people(store)) == 5
    records.close()


async def test_encounters_are_read_as_they_were_sent() -> None:
    """Samples, labels, digests, norms and who imported them: what one by one enrolment would have stored."""
    labels = Labels({"name": 'Zoë "Z"', "age": 7, "tall": True, "height": 1.5}, ("north",), Status.INACTIVE)
    templates = [make_template(seed) for seed in range(3)]
    columns = TemplateColumns(
        ["ann", "bob"],
        [labels, NO_LABELS],
        np.array([2, 1]),
        np.stack([one.vector for one in templates]),
        np.array([21.5, 0, 0.1], np.float32),
    )
    records = StoredRecords(MemoryStore(), workers=1)
    call = Call("ImportTemplates", "i1", "payload", end_user='cl"erk')
    incoming = await records.begin_import(GALLERY, call, 7)
    await incoming.add(columns)
    await incoming.publish(call)
    ann, bob = [one for name in ("ann", "bob") for one in (await records.subject(GALLERY, name)).encounters]
    assert (ann.labels, bob.labels) == (labels, NO_LABELS)
    assert [len(one.samples) for one in (ann, bob)] == [2, 1]
    for sample, template in zip((*ann.samples, *bob.samples), templates, strict=True):
        np.testing.assert_array_equal(sample.template.vector, template.vector)
        assert sample.template.version == VERSION
        assert (sample.face, sample.photograph_kept) == (None, False)
    assert [one.template.norm for one in (*ann.samples, *bob.samples)] == [21.5, 0, np.float32(0.1)]
    assert len({one.sha256 for one in (*ann.samples, *bob.samples)}) == 3
    assert (ann.revision, ann.request_id, ann.actor, ann.replaces) == (7, "i1", 'cl"erk', ())
    assert isinstance(ann.created, datetime)
    assert len({ann.encounter_id, bob.encounter_id}) == 2
    rows = [row async for part, _ in records.rows(GALLERY) for row in part.subject_ids]
    assert rows == ["bob"]
    records.close()
