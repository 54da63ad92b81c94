"""Whatever write a crash comes before, what was begun is whole or gone after the next start."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count

import pytest

from facegrid.domain.errors import GalleryNotFound
from facegrid.domain.galleries import Encounter, Tombstone
from facegrid.identity.ports import Claim
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.records import StoredRecords
from storage.making import DyingStore, PowerCut, make_call, make_encounter, make_gallery
from stores import STORES, MakeStore

GALLERY = make_gallery()
CREATE = make_call("CreateGallery", "create")
DELETE = make_call("DeleteSubject", "delete")
UNNAME = make_call("DeleteGallery", "unname")
ROOT = f"tenants/default/galleries/{GALLERY.gallery_id}/"
Make = Callable[[], ObjectStore]
Action = Callable[[StoredRecords], Awaitable[object]]


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest, make_store: MakeStore) -> Make:
    """Return a function that makes empty stores of one kind."""
    return partial(make_store, request.param)


@asynccontextmanager
async def opened(store: ObjectStore) -> AsyncIterator[StoredRecords]:
    """Open records with one thread, so that writes come in one order."""
    records = StoredRecords(store, workers=1)
    yield records
    records.close()


async def enrol(records: StoredRecords, encounter: Encounter) -> Claim:
    """Do what an enrolment does, its retry included."""
    call = make_call("Enroll", encounter.request_id)
    claim = await records.claim(GALLERY, encounter.subject_id, encounter.encounter_id, call)
    subject = await records.subject(GALLERY, encounter.subject_id)
    if encounter.encounter_id not in ids(subject.encounters if subject else ()):
        await records.commit(GALLERY, encounter, [b"photograph", None])
    await records.erase(GALLERY, encounter.subject_id, encounter.replaces)
    return claim


async def delete_jane(records: StoredRecords) -> None:
    """Do what a subject's deletion does, its retry included."""
    tombstone = await records.tombstone(GALLERY, DELETE)
    if tombstone is None:
        subject = await records.subject(GALLERY, "jane")
        assert subject is not None
        tombstone = Tombstone(tuple(ids(subject.encounters)), 50)
        await records.bury(GALLERY, tombstone, DELETE)
    await records.erase(GALLERY, "jane", tombstone.encounter_ids)


async def delete_gallery(records: StoredRecords) -> None:
    """Do what a gallery's deletion does, its retry included."""
    await records.erase_gallery(await records.unname_gallery("staff", UNNAME))


def ids(encounters: object) -> list[str]:
    """Return the encounters' ids."""
    return [one.encounter_id for one in encounters]


async def load(records: StoredRecords) -> list[Encounter]:
    """Do what a start does with the gallery."""
    return [one async for batch in records.encounters(GALLERY) for one in batch]


async def crash_at_each_write(
    make: Make, prepare: Action, action: Action
) -> AsyncIterator[tuple[bool, ObjectStore]]:
    """Yield the store after a crash before each write of the action, and last after the whole of it."""
    for writes in count():
        store = make()
        async with opened(store) as records:
            await prepare(records)
        finished = True
        async with opened(DyingStore(store, writes)) as dying:
            try:
                await action(dying)
            except PowerCut:
                finished = False
        yield finished, store
        if finished:
            return


def check_no_orphans(store: ObjectStore, active: list[Encounter]) -> None:
    """Hold the objects below the subjects against those that the active encounters have."""
    expected = {"subject.json": len({one.subject_id for one in active})} if active else {}
    for ending in ("encounter.json", "0/source", "0/templates/open-1.0", "1/templates/open-1.0"):
        expected[ending] = len(active)
    keys = list(store.keys(f"{ROOT}subjects/"))
    for ending, number in expected.items():
        assert sum(key.endswith(ending) for key in keys) == number
    assert len(keys) == sum(expected.values())


async def test_an_enrolment_is_whole_or_nothing_and_its_retry_completes_it(
    make: Make,
) -> None:
    """After a crash the encounter is there with all it has, or nothing of it is."""
    encounter = make_encounter(1)
    seen = set()

    async def prepare(records: StoredRecords) -> None:
        await records.create_gallery(GALLERY, CREATE)

    async for finished, store in crash_at_each_write(make, prepare, lambda it: enrol(it, encounter)):
        async with opened(store) as records:
            active = await load(records)
            check_no_orphans(store, active)
            seen.add((finished, len(active)))
            assert await enrol(records, encounter) in {Claim.NEW, Claim.SEEN}
            assert ids(await load(records)) == [encounter.encounter_id]
            check_no_orphans(store, [encounter])
    assert seen == {(False, 0), (True, 1)}


async def test_a_replacement_shows_the_old_or_the_new(make: Make) -> None:
    """The mark of the new encounter is the one step between exactly the old and exactly the new."""
    old, older, new = (
        make_encounter(2),
        make_encounter(1),
        make_encounter(3, replaces=[f"{n:032x}" for n in (1, 2)]),
    )
    seen = []

    async def prepare(records: StoredRecords) -> None:
        await records.create_gallery(GALLERY, CREATE)
        await enrol(records, older)
        await enrol(records, old)

    async for _, store in crash_at_each_write(make, prepare, lambda it: enrol(it, new)):
        async with opened(store) as records:
            before = await records.subject(GALLERY, "jane")
            active = await load(records)
            check_no_orphans(store, active)
            assert before is not None
            assert ids(before.encounters) == sorted(ids(active))
            seen.append(len(active))
            assert sorted(ids(active)) in (ids([older, old]), ids([new]))
            await enrol(records, new)
            assert ids(await load(records)) == ids([new])
            assert await enrol_again(records, old) is Claim.DELETED
    assert set(seen) == {1, 2}
    assert seen == sorted(seen, reverse=True)


async def enrol_again(records: StoredRecords, encounter: Encounter) -> Claim:
    """Return what the retry of an enrolment is told."""
    return await records.claim(
        GALLERY, encounter.subject_id, encounter.encounter_id, make_call("Enroll", encounter.request_id)
    )


async def test_a_deletion_is_done_or_not_begun(make: Make) -> None:
    """From the tombstone on no encounter is seen again, and the next start erases what is left."""
    encounters = [make_encounter(1), make_encounter(2)]
    seen = []

    async def prepare(records: StoredRecords) -> None:
        await records.create_gallery(GALLERY, CREATE)
        for encounter in encounters:
            await enrol(records, encounter)

    async for _, store in crash_at_each_write(make, prepare, delete_jane):
        async with opened(store) as records:
            before = await records.subject(GALLERY, "jane")
            active = await load(records)
            check_no_orphans(store, active)
            assert ids(before.encounters if before else ()) == sorted(ids(active))
            seen.append(len(active))
            assert await records.last_revision(GALLERY) == (0 if active else 50)
            await delete_jane(records)
            assert await load(records) == []
            check_no_orphans(store, [])
            assert [await enrol_again(records, one) for one in encounters] == [Claim.DELETED] * 2
    assert set(seen) == {0, 2}
    assert seen == sorted(seen, reverse=True)


async def test_a_reader_never_meets_a_mark_without_its_parts(make: Make) -> None:
    """An encounter's mark goes first, so that no state of its removal reads as damage."""
    encounter = make_encounter(1)

    async def prepare(records: StoredRecords) -> None:
        await records.create_gallery(GALLERY, CREATE)
        await enrol(records, encounter)

    async for _, store in crash_at_each_write(
        make, prepare, lambda it: it.erase(GALLERY, "jane", ids([encounter]))
    ):
        async with opened(store) as records:
            subject = await records.subject(GALLERY, "jane")
            assert subject is None or ids(subject.encounters) == ids([encounter])


async def test_a_replaced_encounter_does_not_return_with_the_death_of_its_successor(
    make: Make,
) -> None:
    """What a crash left of a replaced encounter goes before the mark that names it."""
    old, new = make_encounter(1), make_encounter(2, replaces=[f"{1:032x}"])

    async def prepare(records: StoredRecords) -> None:
        await records.create_gallery(GALLERY, CREATE)
        await enrol(records, old)
        await records.commit(GALLERY, new, [b"photograph", None])

    async for _, store in crash_at_each_write(make, prepare, delete_jane):
        async with opened(store) as records:
            assert ids(await load(records)) in ([], ids([new]))


async def test_a_start_that_is_broken_off_is_taken_up_by_the_next(make: Make) -> None:
    """Recovery may itself crash before any write: what is active never changes, and all else goes."""
    encounters = [make_encounter(1), make_encounter(2, replaces=[f"{1:032x}"]), make_encounter(3)]
    lone = make_encounter(4, "john")

    async def prepare(records: StoredRecords) -> None:
        await records.create_gallery(GALLERY, CREATE)
        for one in (*encounters, lone):
            await records.claim(
                GALLERY, one.subject_id, one.encounter_id, make_call("Enroll", one.request_id)
            )
            await records.commit(GALLERY, one, [b"photograph", None])
        await records.bury(GALLERY, Tombstone(tuple(ids([encounters[2], lone])), 50), DELETE)

    async for _, store in crash_at_each_write(make, prepare, load):
        async with opened(store) as records:
            active = await load(records)
            assert ids(active) == ids([encounters[1]])
            check_no_orphans(store, active)
            for gone in (encounters[0], encounters[2], lone):
                assert await enrol_again(records, gone) is Claim.DELETED


async def test_a_gallery_is_made_whole_or_not_and_its_retry_completes_it(
    make: Make,
) -> None:
    """A folder that no name leads to is found at the next start, and the retry still makes the gallery."""

    async def prepare(records: StoredRecords) -> None:
        assert await records.nameless_galleries() == []

    async for finished, store in crash_at_each_write(
        make, prepare, lambda it: it.create_gallery(GALLERY, CREATE)
    ):
        async with opened(store) as records:
            for gallery_id in await records.nameless_galleries():
                await records.erase_gallery(gallery_id)
            present = await records.galleries("", 10, lambda _: True)
            assert present == ([GALLERY] if finished else [])
            again = make_gallery(gallery_id="b2" * 16)
            made = await records.create_gallery(again, CREATE)
            assert await records.gallery("staff") == made
            assert await records.nameless_galleries() == []


async def test_a_gallerys_deletion_is_done_or_not_begun(make: Make) -> None:
    """From the end of its name on nothing of a gallery is seen, and the next start erases what is left."""

    async def prepare(records: StoredRecords) -> None:
        await records.create_gallery(GALLERY, CREATE)
        await enrol(records, make_encounter(1))

    async for _, store in crash_at_each_write(make, prepare, delete_gallery):
        async with opened(store) as records:
            for gallery_id in await records.nameless_galleries():
                await records.erase_gallery(gallery_id)
            if await records.galleries("", 10, lambda _: True):
                assert ids(await load(records)) == ids([make_encounter(1)])
                assert await records.create_gallery(GALLERY, CREATE) == GALLERY
            await delete_gallery(records)
            with pytest.raises(GalleryNotFound):
                await records.gallery("staff")
            assert list(store.keys(ROOT)) == []
