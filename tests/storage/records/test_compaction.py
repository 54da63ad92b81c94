"""Whatever write a crash comes before, compaction shows each encounter once and forgets no deletion."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from io import BytesIO
from itertools import count

import pyarrow.parquet as pq
import pytest

from facegrid.domain.galleries import Encounter, Tombstone
from facegrid.identity.ports import Claim
from facegrid.storage.records.records import StoredRecords
from storage import making
from storage.making import DyingStore, MemoryStore, PowerCut, make_encounter
from storage.records.test_crashes import (
    CREATE,
    DELETE,
    GALLERY,
    ROOT,
    Action,
    delete_jane,
    enrol,
    enrol_again,
    ids,
    load,
    opened,
)
from stores import STORES, MakeStore

JANES = [make_encounter(1), make_encounter(2)]
JOHN = make_encounter(3, "john")
OLD, NEW = make_encounter(4, "ann"), make_encounter(5, "ann", replaces=[f"{4:032x}"])
EVE = make_encounter(6, "eve")


async def compact(records: StoredRecords) -> None:
    """Compact the gallery."""
    await making.compact(records, GALLERY)


async def make_all(records: StoredRecords) -> None:
    """Enrol four people, of whom one was replaced and one is deleted."""
    await records.create_gallery(GALLERY, CREATE)
    for encounter in (*JANES, JOHN, OLD, NEW, EVE):
        await enrol(records, encounter)
    await records.bury(GALLERY, Tombstone(tuple(ids([EVE])), 40), making.make_call("DeleteSubject", "eve"))
    await records.erase(GALLERY, "eve", ids([EVE]))


async def make_compacted(records: StoredRecords) -> None:
    """Enrol them, and leave no small object."""
    await make_all(records)
    await compact(records)


async def crash_at_each_write(prepare: Action, action: Action) -> AsyncIterator[tuple[bool, MemoryStore]]:
    """Yield the store after a crash before each write of the action, and last after the whole of it."""
    prepared = MemoryStore()
    async with opened(prepared) as records:
        await prepare(records)
    for writes in count():
        store, finished = MemoryStore(prepared.objects), True
        async with opened(DyingStore(store, writes)) as dying:
            try:
                await action(dying)
            except PowerCut:
                finished = False
        yield finished, store
        if finished:
            return


async def check(records: StoredRecords, active: list[Encounter], gone: list[Encounter]) -> None:
    """Hold what all readers see against the encounters that are active, before and after the load."""
    people = {one.subject_id for one in active}
    for _ in range(2):
        for name in ("jane", "john", "ann", "eve"):
            subject = await records.subject(GALLERY, name)
            assert ids(subject.encounters if subject else ()) == ids(
                one for one in active if one.subject_id == name
            )
        page, cursor = await records.subjects(GALLERY, "", 10)
        assert sorted(one.subject_id for one in page) == sorted(people)
        assert cursor == ""
        assert sorted(ids(await load(records))) == sorted(ids(active))
    rows = [one async for part, _ in records.rows(GALLERY) for one in part.encounter_ids]
    assert sorted(rows) == sorted(2 * ids(active))
    assert {await enrol_again(records, one) for one in active} <= {Claim.SEEN}
    assert {await enrol_again(records, one) for one in gone} <= {Claim.DELETED}


def compacted_keys(store: MemoryStore) -> Iterator[str]:
    """Yield the keys of a gallery without the photographs of active encounters."""
    return (key.removeprefix(ROOT) for key in store.keys(ROOT) if not key.endswith("/source"))


def check_nothing_loose(store: MemoryStore) -> None:
    """Look for objects that a compaction has to remove."""
    keys = list(compacted_keys(store))
    assert not [key for key in keys if key.startswith(("subjects/", "requests/", "tombstones/"))]
    assert len([key for key in keys if "/manifests/" in key]) == 1
    assert len([key for key in keys if "/files/" in key]) == 1


async def test_a_compaction_shows_every_encounter_once() -> None:
    """Nothing that a reader sees tells at which write it was broken off; the next one completes it."""
    manifests = set()
    async for _, store in crash_at_each_write(make_all, compact):
        manifests.add(sum("/manifests/" in key for key in store.keys(ROOT)))
        async with opened(store) as records:
            await check(records, [*JANES, JOHN, NEW], [OLD, EVE])
            await compact(records)
            check_nothing_loose(store)
            assert sum(key.endswith("/source") for key in store.keys(ROOT)) == 4
            await check(records, [*JANES, JOHN, NEW], [OLD, EVE])
            assert await records.last_revision(GALLERY) == 40
    assert manifests == {1, 2}


@pytest.mark.parametrize("kind", STORES[1:])
async def test_a_compaction_in_a_bucket_shows_every_encounter_once(
    kind: str, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash comes before each fourth of its writes, and what is below a prefix goes in another order."""
    monkeypatch.setattr(DyingStore, "delete_prefix", delete_backwards)
    prepared = MemoryStore()
    async with opened(prepared) as records:
        await make_all(records)
    crashes = 0
    for writes in count(0, 4):
        store = make_store(kind)
        for key, data in prepared.objects.items():
            store.put(key, data)
        async with opened(DyingStore(store, writes)) as dying:
            with suppress(PowerCut):
                await compact(dying)
        async with opened(store) as records:
            await check(records, [*JANES, JOHN, NEW], [OLD, EVE])
            await compact(records)
            await check(records, [*JANES, JOHN, NEW], [OLD, EVE])
        assert sum(key.endswith(".parquet") for key in store.keys(ROOT)) == 1
        crashes += dying._store._left < 0  # type: ignore[attr-defined]
        if crashes <= writes // 4:
            break
    assert crashes > 3


def delete_backwards(store: DyingStore, prefix: str) -> None:
    """Remove the last key first, as S3 may."""
    for key in sorted(store.keys(prefix), reverse=True):
        store.delete(key)


async def test_a_start_after_a_broken_compaction_may_be_broken_off() -> None:
    """What became a row is removed as an object, whatever write of that a crash comes before."""

    async def prepare(records: StoredRecords) -> None:
        await make_all(records)
        async with opened(DyingStore(records._store, 5)) as dying:
            with pytest.raises(PowerCut):
                await compact(dying)

    async for finished, store in crash_at_each_write(prepare, load):
        async with opened(store) as records:
            await check(records, [*JANES, JOHN, NEW], [OLD, EVE])
            left = [key for key in compacted_keys(store) if key.startswith("subjects/")]
            assert left == [] or not finished


async def test_a_deletion_of_rows_is_done_or_not_begun() -> None:
    """The tombstone hides rows at once, the next compaction erases them, and retries are told the same."""
    seen = []
    async for _, store in crash_at_each_write(make_compacted, delete_jane):
        async with opened(store) as records:
            jane = await records.subject(GALLERY, "jane")
            seen.append(jane is not None)
            await check(records, [*(JANES if jane else []), JOHN, NEW], [OLD, EVE, *([] if jane else JANES)])
            await delete_jane(records)
            await check(records, [JOHN, NEW], [OLD, EVE, *JANES])
            assert sum(key.endswith("/source") for key in store.keys(ROOT)) == 2
        async with opened(store) as records:
            await load(records)
            await compact(records)
            check_nothing_loose(store)
            await delete_jane(records)
            await check(records, [JOHN, NEW], [OLD, EVE, *JANES])
            assert await records.last_revision(GALLERY) == 50
    assert set(seen) == {True, False}
    assert seen == sorted(seen, reverse=True)


async def test_an_erasure_shows_the_same_at_every_write() -> None:
    """Rewriting a segment brings nobody back; what is left of a deleted encounter is its request id."""

    async def prepare(records: StoredRecords) -> None:
        await make_compacted(records)
        await delete_jane(records)

    async for _, store in crash_at_each_write(prepare, compact):
        async with opened(store) as records:
            await check(records, [JOHN, NEW], [OLD, EVE, *JANES])
            tombstone = await records.tombstone(GALLERY, DELETE)
            assert tombstone == Tombstone(tuple(ids(JANES)), 50)
            await compact(records)
            check_nothing_loose(store)
            assert await records.tombstone(GALLERY, DELETE) == tombstone
            (key,) = (key for key in store.keys(ROOT) if key.endswith(".parquet"))
            rows = pq.read_table(BytesIO(store.get(key))).to_pylist()
            assert sorted(row["subject_id"] for row in rows if row["subject_id"]) == ["ann", "john"]
            assert not any(b"jane" in row["record"] for row in rows)


async def test_a_replacement_of_rows_shows_the_old_or_the_new() -> None:
    """The mark of the new encounter hides the row of the old; its own end does not bring that back."""
    newer = make_encounter(7, "jane", replaces=ids(JANES))
    seen = []
    async for _, store in crash_at_each_write(make_compacted, lambda it: enrol(it, newer)):
        async with opened(store) as records:
            active = [newer] if newer.encounter_id in ids(await load(records)) else JANES
            seen.append(len(active))
            await check(records, [*active, JOHN, NEW], [OLD, EVE])
            await enrol(records, newer)
            await check(records, [newer, JOHN, NEW], [OLD, EVE, *JANES])
            await delete_jane(records)
        async with opened(store) as records:
            await check(records, [JOHN, NEW], [OLD, EVE, *JANES, newer])
            await compact(records)
            check_nothing_loose(store)
            await check(records, [JOHN, NEW], [OLD, EVE, *JANES, newer])
    assert set(seen) == {1, 2}
    assert seen == sorted(seen, reverse=True)


async def test_a_replaced_row_does_not_return_with_the_death_of_its_successor() -> None:
    """Where the server died between the two, the old row is buried before the new mark goes."""
    newer = make_encounter(7, "jane", replaces=ids(JANES))

    async def prepare(records: StoredRecords) -> None:
        await make_compacted(records)
        await enrol_again(records, newer)
        await records.commit(GALLERY, newer, [b"photograph", None])

    async for _, store in crash_at_each_write(prepare, delete_jane):
        async with opened(store) as records:
            assert set(ids(await load(records))) in (
                set(ids([JOHN, NEW])),
                set(ids([JOHN, NEW, newer])),
            )
