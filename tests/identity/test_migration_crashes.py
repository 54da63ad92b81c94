"""Whatever write a crash comes before, both galleries of a migration are alike after the next start."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from facegrid.domain.errors import FacegridError
from facegrid.domain.galleries import MigrationState
from facegrid.identity.enroll import EnrollMode
from facegrid.identity.writes import Writes
from facegrid.storage.objects.store import ObjectStore
from fakes import TwoPackVision
from house import House, build_house, call
from identity.moving import cancel, cut_over, finish, held, move, pair, roll_back, start
from storage.making import DyingStore, MemoryStore, PowerCut

Action = Callable[[House], Awaitable[object]]


@asynccontextmanager
async def started(store: ObjectStore) -> AsyncIterator[House]:
    """Do what a server does at its start and, behind its calls, soon after."""
    house = build_house(Path(), TwoPackVision(), store)
    await house.galleries.recover()
    await house.galleries.fill()
    await house.migrate.resume()
    yield house
    house.close()


async def crash_at_each_write(prepare: Action, action: Action) -> AsyncIterator[tuple[bool, MemoryStore]]:
    """Yield the store after a crash before each write of the action, and last after the whole of it."""
    prepared = MemoryStore()
    async with started(prepared) as house:
        await house.make_gallery()
        await prepare(house)
    for writes in count():
        store, finished = MemoryStore(prepared.objects), True
        dying = DyingStore(store, 10**6)
        async with started(dying) as house:
            dying._left = writes
            try:
                await action(house)
            except PowerCut:
                finished = False
        yield finished, store
        if finished:
            return


async def two_people(house: House) -> None:
    """Enrol ann and bob and copy them."""
    await house.add("ann", b"ann", request_id="first")
    await house.add("bob", b"bob")
    await move(house)


async def two_people_in_rows(house: House) -> None:
    """Do so, and compact both galleries."""
    await two_people(house)
    for gallery in await pair(house):
        await house.records.compact(gallery, Writes(1).hold)


async def check_alike(house: House) -> dict[str, list[str]]:
    """Compare records and searches of both galleries; return the encounters of each subject."""
    gallery, twin = await pair(house)
    found = await held(house, gallery)
    assert found == await held(house, twin)
    for one in (gallery, twin):
        assert house.projection.subject_count(one) == len(found)
    return found


@pytest.mark.parametrize("prepare", [two_people, two_people_in_rows])
@pytest.mark.parametrize("cut", [False, True], ids=["ready", "cut over"])
async def test_an_enrolment_is_in_both_or_in_neither(prepare: Action, *, cut: bool) -> None:
    """After the next start it is in both or in neither, and its retry puts it into both."""

    async def prepared(house: House) -> None:
        await prepare(house)
        if cut:
            await cut_over(house)

    async for finished, store in crash_at_each_write(
        prepared, lambda house: house.add("ann", b"ann#2", request_id="again")
    ):
        async with started(store) as house:
            await house.migrate()
            assert len((await check_alike(house))["ann"]) == 2 or not finished
            await house.add("ann", b"ann#2", request_id="again")
            assert len((await check_alike(house))["ann"]) == 2
        async with started(store) as house:
            await house.add("ann", b"ann#2", request_id="again")
            assert len((await check_alike(house))["ann"]) == 2


async def test_a_retry_needs_no_copying_to_be_done_first() -> None:
    """The retry of an enrolment that came into one gallery brings it into the other by itself."""
    async for _, store in crash_at_each_write(
        two_people, lambda house: house.add("ann", b"ann#2", request_id="again")
    ):
        async with started(store) as house:
            await house.add("ann", b"ann#2", request_id="again")
            assert len((await check_alike(house))["ann"]) == 2


@pytest.mark.parametrize("prepare", [two_people, two_people_in_rows])
async def test_a_replacement_shows_the_same_in_both(prepare: Action) -> None:
    """After the next start both have the old encounter, or both the new one."""
    sizes = set()
    async for _, store in crash_at_each_write(
        prepare, lambda house: house.add("ann", b"ann#2", mode=EnrollMode.REPLACE, request_id="new")
    ):
        async with started(store) as house:
            await house.migrate()
            sizes.add(tuple((await check_alike(house))["ann"]))
            await house.add("ann", b"ann#2", mode=EnrollMode.REPLACE, request_id="new")
            assert len((await check_alike(house))["ann"]) == 1
    assert sorted(map(len, sizes)) == [1, 1]


@pytest.mark.parametrize("prepare", [two_people, two_people_in_rows])
@pytest.mark.parametrize("cut", [False, True], ids=["ready", "cut over"])
async def test_a_deletion_is_done_in_both_or_in_neither(prepare: Action, *, cut: bool) -> None:
    """From its first write on neither gallery has the subject after the next start, nor ever again."""

    async def prepared(house: House) -> None:
        await prepare(house)
        if cut:
            await cut_over(house)

    async for finished, store in crash_at_each_write(
        prepared, lambda house: house.subjects.delete(call("DeleteSubject", "gone"), "g", "ann")
    ):
        async with started(store) as house:
            await house.migrate()
            assert "ann" not in await check_alike(house) or not finished
            await house.subjects.delete(call("DeleteSubject", "gone"), "g", "ann")
            assert "ann" not in await check_alike(house)
            await (roll_back if cut else cut_over)(house)
            await house.subjects.delete(call("DeleteSubject", "gone"), "g", "ann")
        async with started(store) as house:
            await house.migrate()
            assert list(await check_alike(house)) == ["bob"]


async def test_copying_goes_on_where_a_crash_left_it() -> None:
    """What the twin has is not made again, and nothing is copied twice or lost."""

    async def prepare(house: House) -> None:
        for number in range(3):
            await house.add(f"s{number}", b"s%d" % number)
        await house.subjects.delete(call("DeleteSubject"), "g", "s2")
        await start(house)

    looked = []
    async for finished, store in crash_at_each_write(prepare, lambda house: house.migrate()):
        async with started(store) as house:
            gallery = await house.galleries.get("g")
            assert gallery.migration
            assert gallery.migration.state is (MigrationState.READY if finished else MigrationState.COPYING)
            await house.migrate()
            assert sorted(await check_alike(house)) == ["s0", "s1"]
            await cut_over(house)
            assert await house.found(b"s0#1") == ["s0"]
            looked.append(house.vision.seen - 1)
    assert (looked[0], looked[-1]) == (2, 0)  # between them writes may overtake each other
    assert set(looked) == {0, 1, 2}


async def begin(house: House) -> None:
    """Start a migration."""
    await start(house)


@pytest.mark.parametrize(
    ("before", "step", "packs"),
    [
        pytest.param(None, begin, ["fake"], id="start"),
        pytest.param(move, cut_over, ["fake", "new"], id="cut over"),
        pytest.param(move, lambda house: cancel(house, "end"), ["fake"], id="cancel"),
        pytest.param(cut_over, lambda house: finish(house, "end"), ["new"], id="finish"),
        pytest.param(cut_over, roll_back, ["fake", "new"], id="roll back"),
    ],
)
async def test_each_step_is_done_or_not_begun(before: Action | None, step: Action, packs: list[str]) -> None:
    """After a crash everybody is found, nothing lies about, and the step can be made again."""

    async def prepare(house: House) -> None:
        await house.add("ann", b"ann")
        if before:
            await move(house)
        if before is cut_over:
            await cut_over(house)

    searched = set()
    async for _, store in crash_at_each_write(prepare, step):
        async with started(store) as house:
            assert await house.records.nameless_galleries() == []
            await house.migrate()
            searched.add((await house.search(b"ann#2")).report.gallery.pack)
            assert await house.found(b"ann#2") == ["ann"]
            with suppress(FacegridError):
                await step(house)
            assert await house.found(b"ann#2") == ["ann"]
            gallery = await house.galleries.get("g")
            ids = {gallery.gallery_id, *([gallery.twin.gallery_id] if gallery.twin else [])}
            assert {key.split("/")[3] for key in store.objects if key.split("/")[2] == "galleries"} == ids
    assert sorted(searched) == packs
