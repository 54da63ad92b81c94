"""What an inspection finds in records that something happened to, and what a repair makes of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from facegrid.domain.galleries import Encounter, Gallery, Tombstone
from facegrid.domain.inspection import Finding, Inspected, Problem
from facegrid.identity.writes import Writes
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.records import StoredRecords
from storage.making import compact, enrol, load, make_call, make_encounter, make_gallery

GALLERY = make_gallery()
ROOT = f"tenants/default/galleries/{GALLERY.gallery_id}/"
ONE, TWO, THREE = (
    make_encounter(number, subject) for number, subject in ((1, "jane"), (2, "jane"), (3, "joe"))
)


async def inspect(records: StoredRecords, gallery: Gallery, *, repair: bool = False) -> list[Inspected]:
    """Inspect with nobody else about."""
    return [part async for part in records.inspect(gallery, Writes(1).hold, repair=repair)]


def found(parts: list[Inspected]) -> list[Finding]:
    """Return all findings."""
    return [finding for part in parts for finding in part.findings]


def key_of(store: ObjectStore, encounter: Encounter, end: str) -> str:
    """Return the key of one of an encounter's objects."""
    (key,) = [
        key
        for key in store.keys(ROOT)
        if f"encounters/{encounter.encounter_id}/" in key and key.endswith(end)
    ]
    return key


async def test_sound_records_are_counted_and_nothing_is_found(
    records: StoredRecords, gallery: Gallery
) -> None:
    """Objects and rows of segments are told apart, and the index rows are those of all."""
    await enrol(records, gallery, ONE, THREE)
    await compact(records, gallery)
    await enrol(records, gallery, TWO)
    parts = await inspect(records, gallery)
    assert found(parts) == []
    assert sum(part.encounters for part in parts) == 3
    assert sum(part.samples for part in parts) == 6
    assert sum(part.encounters for part in parts if part.compacted) == 2
    keys = sorted(key for part in parts for key in part.rows.keys)
    assert keys == sorted(f"{one.encounter_id}/{number}" for one in (ONE, TWO, THREE) for number in (0, 1))


@pytest.mark.parametrize(
    ("end", "damage", "problem"),
    [
        ("/encounter.json", b"{", Problem.DAMAGED),
        ("/1/templates/open-1.0", b"short", Problem.DAMAGED),
        ("/1/templates/open-1.0", np.zeros(8, "<f4").tobytes(), Problem.DAMAGED),
        ("/1/templates/open-1.0", None, Problem.DAMAGED),
        ("/encounter.json", None, Problem.UNFINISHED),
        ("/0/source", None, Problem.PHOTOGRAPH_MISSING),
    ],
)
async def test_an_encounter_is_named_and_a_repair_lets_the_gallery_load(
    records: StoredRecords,
    gallery: Gallery,
    store: ObjectStore,
    *,
    end: str,
    damage: bytes | None,
    problem: Problem,
) -> None:
    """What is damaged is set aside whole, what is unfinished goes, a lost photograph is told."""
    await enrol(records, gallery, ONE, TWO, THREE)
    key = key_of(store, ONE, end)
    objects = {
        one: store.get(one) for one in store.keys(key.rpartition("encounters/")[0]) if ONE.encounter_id in one
    }
    if damage is None:
        store.delete(key)
        del objects[key]
    else:
        store.put(key, damage)
        objects[key] = damage
    assert found(await inspect(records, gallery)) == [Finding(problem, ONE.encounter_id)]
    repaired = problem is not Problem.PHOTOGRAPH_MISSING
    assert found(await inspect(records, gallery, repair=True)) == [
        Finding(problem, ONE.encounter_id, repaired)
    ]
    left = [TWO.encounter_id, THREE.encounter_id] + [ONE.encounter_id] * (not repaired)
    assert sorted(one.encounter_id for one in await load(records, gallery)) == sorted(left)
    aside = {
        key.rpartition(f"{ONE.encounter_id}/")[2]: store.get(key) for key in store.keys(f"{ROOT}quarantine/")
    }
    if problem is Problem.DAMAGED:
        assert aside == {key.rpartition(f"{ONE.encounter_id}/")[2]: data for key, data in objects.items()}
        assert found(await inspect(records, gallery)) == [Finding(Problem.SET_ASIDE, ONE.encounter_id)]
    else:
        assert aside == {}


async def test_what_was_set_aside_goes_with_its_subject(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """Nothing of a deleted person is left, whatever became of it before."""
    await enrol(records, gallery, ONE, TWO, THREE)
    for one in (ONE, THREE):
        store.put(key_of(store, one, "/encounter.json"), b"{")
    await inspect(records, gallery, repair=True)
    await records.bury(gallery, Tombstone((TWO.encounter_id,), 50), make_call("DeleteSubject", "d"))
    await records.erase(gallery, "jane", [TWO.encounter_id])
    assert {THREE.encounter_id} == {
        key.split("/")[-2] for key in store.keys(f"{ROOT}quarantine/") if "json" in key
    }


async def test_an_encounter_that_was_set_aside_is_enrolled_again_by_its_retry(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """The request id still stands for it."""
    await enrol(records, gallery, ONE)
    store.put(key_of(store, ONE, "/encounter.json"), b"{")
    await inspect(records, gallery, repair=True)
    await enrol(records, gallery, ONE)
    assert [one.encounter_id for one in await load(records, gallery)] == [ONE.encounter_id]


async def test_a_subjects_own_object_is_written_again(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """Its encounters say whose they are."""
    await enrol(records, gallery, TWO, ONE)
    (key,) = [key for key in store.keys(ROOT) if key.endswith("subject.json")]
    before, sid = store.get(key), key.split("/")[-2]
    store.put(key, b"?")
    assert found(await inspect(records, gallery)) == [Finding(Problem.DAMAGED, sid)]
    assert found(await inspect(records, gallery, repair=True)) == [
        Finding(Problem.DAMAGED, sid, repaired=True)
    ]
    assert {**json.loads(before), **json.loads(store.get(key))}["subject_id"] == "jane"
    subject = await records.subject(gallery, "jane")
    assert subject
    assert len(subject.encounters) == 2


async def test_what_deletions_left_is_found_and_removed(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """Objects of the deleted and the replaced, late marks, an empty folder, a segment without a name."""
    await enrol(records, gallery, THREE)
    await compact(records, gallery)
    await enrol(records, gallery, ONE, replace(TWO, replaces=(ONE.encounter_id,)))
    await records.bury(gallery, Tombstone((THREE.encounter_id,), 50), make_call("DeleteSubject", "d"))
    jane = key_of(store, TWO, "/encounter.json").partition("encounters/")[0]
    late = make_encounter(9).encounter_id
    await records.claim(gallery, "jane", late, make_call("Enroll", "late"))
    (await records._of(gallery)).claims.discard(late)
    mark = store.get(key_of(store, TWO, "/encounter.json"))
    store.put(
        f"{jane}encounters/{late}/encounter.json", mark.replace(TWO.encounter_id.encode(), late.encode())
    )
    store.put(f"{ROOT}subjects/{'ee' * 16}/subject.json", b"{}")
    garbage = f"{'0' * 12}-{'ab' * 8}.parquet"
    store.put(f"{ROOT}segments/{GALLERY.template_version}/files/{garbage}", b"x")
    expected = {
        (Problem.NOT_ERASED, ONE.encounter_id),
        (Problem.NOT_ERASED, THREE.encounter_id),
        (Problem.LATE_MARK, late),
        (Problem.EMPTY_SUBJECT, "ee" * 16),
        (Problem.UNNAMED_SEGMENT, garbage),
    }
    assert {(one.problem, one.name) for one in found(await inspect(records, gallery))} == expected
    repaired = found(await inspect(records, gallery, repair=True))
    assert {(one.problem, one.name) for one in repaired if one.repaired} == expected - {
        (Problem.EMPTY_SUBJECT, "ee" * 16)  # whose it was nothing tells
    }
    left = found(await inspect(records, gallery))
    assert [one.problem for one in left] == [Problem.EMPTY_SUBJECT]


async def test_photographs_of_compacted_encounters_are_missed(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """The rows say that they are kept."""
    await enrol(records, gallery, ONE, TWO, THREE)
    await compact(records, gallery)
    store.delete(key_of(store, TWO, "/0/source"))
    for repair in (False, True):
        parts = await inspect(records, gallery, repair=repair)
        assert found(parts) == [Finding(Problem.PHOTOGRAPH_MISSING, TWO.encounter_id)]


async def test_a_damaged_segment_is_named_and_left(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """A page that went bad is found; where the footer did, the gallery cannot be opened, and that is said."""
    await enrol(records, gallery, ONE, TWO, THREE)
    await compact(records, gallery)
    (key,) = [key for key in store.keys(ROOT) if key.endswith(".parquet")]
    name, data = key.rpartition("/")[2], bytearray(store.get(key))
    data[20] ^= 1
    store.put(key, bytes(data))
    assert found(await inspect(records, gallery, repair=True)) == [Finding(Problem.DAMAGED, f"files/{name}")]
    data[-20] ^= 1
    store.put(key, bytes(data))
    tombstone = f"{ROOT}tombstones/{'cd' * 16}.json"
    store.put(tombstone, b"[]")
    anew = StoredRecords(store, workers=1)
    (part,) = await inspect(anew, gallery, repair=True)
    anew.close()
    assert part.unreadable
    assert {one.name for one in part.findings} == {f"files/{name}", f"tombstones/{'cd' * 16}.json"}
    assert store.get(tombstone) == b"[]"


async def test_an_enrolment_under_way_is_not_unfinished(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """What has its claim and some objects, of a subject that no object names yet, is left alone."""
    await records.claim(gallery, "jane", ONE.encounter_id, make_call("Enroll", ONE.request_id))
    (await records._of(gallery)).samples.writes(ONE, [b"photograph", None])[1]()
    before = list(store.keys(ROOT))
    assert found(await inspect(records, gallery, repair=True)) == []
    assert list(store.keys(ROOT)) == before
    claim = f"{ROOT}requests/{ONE.encounter_id}.json"
    store.put(claim, store.get(claim).replace(b'"time": "20', b'"time": "19'))
    assert found(await inspect(records, gallery)) == [Finding(Problem.UNFINISHED, ONE.encounter_id)]
    store.delete_prefix(f"{ROOT}subjects/")
    assert found(await inspect(records, gallery)) == [Finding(Problem.UNUSED_CLAIM, ONE.encounter_id)]
