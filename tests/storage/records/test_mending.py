"""What a check repairs of the objects that belong to no subject: that of which nothing is lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from facegrid.domain.calls import Call
from facegrid.domain.errors import DamagedRecords, RequestIdReused
from facegrid.domain.galleries import Amendment, Encounter, Gallery, Tombstone
from facegrid.domain.inspection import Problem
from facegrid.domain.labels import Labels
from facegrid.identity.ports import Claim
from facegrid.storage.objects.store import NewerObject, ObjectStore
from facegrid.storage.records.records import StoredRecords
from storage.making import MemoryStore, compact, enrol, load, make_call, make_encounter
from storage.records.test_inspection import GALLERY, ONE, ROOT, THREE, TWO, found, inspect

FOUR = make_encounter(4, "eve")
DELETE = make_call("DeleteSubject", "d")


@contextmanager
def opened(store: ObjectStore) -> Iterator[StoredRecords]:
    """Open records as a process does that has just started."""
    records = StoredRecords(store, workers=1)
    yield records
    records.close()


async def check(records: StoredRecords, *, repair: bool = True) -> set[tuple[str, bool]]:
    """Return the names of what is damaged, and whether it was repaired."""
    findings = found(await inspect(records, GALLERY, repair=repair))
    return {(one.name, one.repaired) for one in findings if one.problem is Problem.DAMAGED}


async def names(store: ObjectStore) -> list[str]:
    """Return the encounters that the next process loads."""
    with opened(store) as records:
        return sorted(one.encounter_id for one in await load(records, GALLERY))


async def delete(records: StoredRecords, encounter: Encounter) -> None:
    """Delete an encounter."""
    await records.bury(GALLERY, Tombstone((encounter.encounter_id,), 50), DELETE)
    await records.erase(GALLERY, encounter.subject_id, [encounter.encounter_id])


def call_of(encounter: Encounter) -> Call:
    """Return the call that enrolled somebody, its payload unlike that of any other."""
    return make_call("Enroll", encounter.request_id, "another payload")


def key_of(store: ObjectStore, part: str) -> str:
    """Return the one key that has a part."""
    (key,) = [key for key in store.keys(ROOT) if part in key]
    return key


def everything(store: ObjectStore) -> dict[str, bytes]:
    """Return all objects, save the manifests, of which each start publishes another."""
    return {key: store.get(key) for key in store.keys("") if "/manifests/" not in key}


def ids(*encounters: Encounter) -> list[str]:
    """Return the ids of encounters."""
    return [one.encounter_id for one in encounters]


async def test_damaged_claims_say_again_what_became_of_their_encounters(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """One that is there is not enrolled twice, nor is one that was deleted, before or after."""
    await enrol(records, gallery, ONE)
    await compact(records, gallery)
    await enrol(records, gallery, TWO, THREE)
    await delete(records, THREE)
    claims = [f"{ROOT}requests/{one.encounter_id}.json" for one in (ONE, TWO, THREE)]
    for claim in claims:
        store.put(claim, b"{")
    with opened(store) as broken, pytest.raises(DamagedRecords):
        await load(broken, GALLERY)
    named = {f"requests/{one.encounter_id}.json" for one in (ONE, TWO, THREE)}
    assert await check(records, repair=False) == {(name, False) for name in named}
    assert await check(records) == {(name, True) for name in named}
    left = found(await inspect(records, gallery))
    assert {one.problem for one in left} == {Problem.SET_ASIDE}
    assert [store.get(key) for key in store.keys(f"{ROOT}quarantine/")] == [b"{"] * 3
    assert await names(store) == ids(ONE, TWO)
    for one, state in ((TWO, Claim.SEEN), (THREE, Claim.DELETED)):
        assert await records.claim(gallery, one.subject_id, one.encounter_id, call_of(one)) is state
    with pytest.raises(RequestIdReused):
        await records.claim(gallery, ONE.subject_id, ONE.encounter_id, call_of(ONE))
    await delete(records, TWO)
    assert await records.find_claim(gallery, TWO.encounter_id, call_of(TWO)) is Claim.DELETED
    await compact(records, gallery)
    for one in (TWO, THREE):
        assert await records.find_claim(gallery, one.encounter_id, call_of(one)) is Claim.DELETED


async def test_a_tombstone_is_written_again_from_what_rows_say(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """That of a replaced row is named for it; that of a deletion may be remembered by a row."""
    await enrol(records, gallery, ONE, THREE, FOUR)
    await compact(records, gallery)
    await enrol(records, gallery, replace(TWO, replaces=(ONE.encounter_id,)))
    await records.erase(gallery, "jane", [ONE.encounter_id])
    await delete(records, THREE)
    remembered = key_of(store, "tombstones/" + (await records._of(gallery)).layout.request(DELETE))
    data = store.get(remembered)
    await compact(records, gallery)
    replaced = f"{ROOT}tombstones/{ONE.encounter_id}.json"
    for key in (replaced, remembered):
        store.put(key, b"[]")
    expected = {(f"tombstones/{key.rpartition('/')[2]}", True) for key in (replaced, remembered)}
    with opened(store) as restarted:
        assert await check(restarted) == expected
        again = await restarted.tombstone(gallery, DELETE)
        assert again == Tombstone((THREE.encounter_id,), 50)
    assert store.get(remembered)[:20] == data[:20]
    assert await names(store) == ids(TWO, FOUR)


async def test_a_tombstone_of_which_nothing_tells_is_left(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """It may hide rows: the gallery stays closed until it is restored; where there are no rows, it goes."""
    await enrol(records, gallery, ONE, THREE)
    await delete(records, THREE)
    key = key_of(store, "tombstones/")
    data, name = store.get(key), f"tombstones/{key.rpartition('/')[2]}"
    store.put(key, b"[]")
    with opened(store) as restarted:
        assert await check(restarted) == {(name, True)}
    assert await names(store) == ids(ONE)
    store.put(key, data)
    await enrol(records, gallery, FOUR)
    await compact(records, gallery)
    again = make_call("DeleteSubject", "e")
    await records.bury(gallery, Tombstone((FOUR.encounter_id,), 60), again)
    key = key_of(store, (await records._of(gallery)).layout.request(again))
    store.put(key, b"[]")
    before = everything(store)
    with opened(store) as restarted:
        assert await check(restarted) == {(f"tombstones/{key.rpartition('/')[2]}", False)}
    assert everything(store) == before


async def test_a_damaged_amendment_is_named_and_left(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """Nothing else says what it changed."""
    await enrol(records, gallery, ONE)
    await records.amend(gallery, "jane", Amendment(ONE.encounter_id, Labels(), 9), make_call("Update", "u"))
    key = key_of(store, "amendments/")
    store.put(key, b"[]")
    for reader in (records, StoredRecords(store, workers=1)):
        assert await check(reader) == {(f"amendments/{key.rpartition('/')[2]}", False)}
        reader.close()


def spoil_footer(data: bytes) -> bytes:
    """Change a byte of the footer that says nothing of the rows."""
    place = data.rindex(b"parquet-cpp")
    return data[:place] + b"q" + data[place + 1 :]


def spoil_page(data: bytes) -> bytes:
    """Change a byte of a page."""
    return data[:20] + bytes([data[20] ^ 1]) + data[21:]


def cut(data: bytes) -> bytes:
    """Lose the end."""
    return data[:-100]


@pytest.mark.parametrize(("spoil", "repaired"), [(spoil_footer, True), (spoil_page, False), (cut, False)])
async def test_a_segment_is_written_again_where_all_of_its_rows_can_be_read(
    records: StoredRecords,
    gallery: Gallery,
    store: ObjectStore,
    *,
    spoil: Callable[[bytes], bytes],
    repaired: bool,
) -> None:
    """Else it is left as it is, with all that names it."""
    await enrol(records, gallery, ONE, TWO, THREE)
    await delete(records, THREE)
    await compact(records, gallery)
    key = key_of(store, ".parquet")
    store.put(key, spoil(store.get(key)))
    spoiled = store.get(key)
    with opened(store) as restarted:
        assert await check(restarted) == {(f"files/{key.rpartition('/')[2]}", repaired)}
    if not repaired:
        assert store.get(key_of(store, ".parquet")) == spoiled
        return
    assert key_of(store, ".parquet") != key
    assert await names(store) == ids(ONE, TWO)
    with opened(store) as restarted:
        assert found(await inspect(restarted, gallery)) == []
        assert (
            await restarted.find_claim(
                gallery, THREE.encounter_id, replace(call_of(THREE), fingerprint="payload")
            )
            is Claim.DELETED
        )


async def test_rows_that_cannot_be_read_are_not_missed_where_their_objects_are_there() -> None:
    """A crash came before the objects of what was compacted went; without them the segment is left."""
    store = MemoryStore()
    with opened(store) as records:
        await records.create_gallery(GALLERY, make_call("CreateGallery", "r1"))
        await enrol(records, GALLERY, ONE, TWO)
        objects = {key: store.get(key) for key in store.keys(ROOT)}
        await compact(records, GALLERY)
        key = key_of(store, ".parquet")
        good = store.get(key)
        store.put(key, spoil_page(good))
        name = f"files/{key.rpartition('/')[2]}"
        assert await check(records) == {(name, False)}
        store.objects |= objects
        assert await check(records) == {(name, True)}
        assert sorted(ids(*await load(records, GALLERY))) == ids(ONE, TWO)
    assert not [key for key in store.keys(ROOT) if key.endswith(".parquet")]
    assert await names(store) == ids(ONE, TWO)


async def test_a_running_server_publishes_its_manifest_anew(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """It knows what counts; one that starts does not, and leaves all as it is."""
    await enrol(records, gallery, ONE, TWO)
    await compact(records, gallery)
    key = key_of(store, "manifests/")
    store.put(key, b"{")
    name = f"manifests/{key.rpartition('/')[2]}"
    with opened(store) as restarted:
        assert await check(restarted) == {(name, False)}
    assert store.get(key) == b"{"
    assert await check(records) == {(name, True)}
    assert await check(records) == set()
    assert await names(store) == ids(ONE, TWO)


@pytest.mark.parametrize("part", ["requests/", "tombstones/", "encounter.json", "manifests/"])
async def test_what_a_newer_release_wrote_is_no_damage(
    records: StoredRecords, gallery: Gallery, store: ObjectStore, part: str
) -> None:
    """The check says so and changes nothing."""
    await enrol(records, gallery, ONE)
    await compact(records, gallery)
    await enrol(records, gallery, THREE)
    await records.bury(gallery, Tombstone((ONE.encounter_id,), 50), DELETE)
    key = next(key for key in store.keys(ROOT) if part in key)
    store.put(key, store.get(key).replace(b'"schema_version": 1', b'"schema_version": 2'))
    before = everything(store)
    with opened(store) as restarted, pytest.raises(NewerObject, match="run the release"):
        await inspect(restarted, gallery, repair=True)
    assert everything(store) == before
