"""Migrations beside other calls: nothing is lost, no search fails, and none mixes two packs."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from facegrid.domain.errors import GalleryMoved, StoreUnavailable, SubjectNotFound
from facegrid.domain.faces import FaceSelection
from facegrid.domain.galleries import MigrationState
from facegrid.identity.enroll import EnrollMode
from facegrid.storage.objects.files import LocalObjectStore
from fakes import TwoPackVision
from house import House, build_house, call
from identity.moving import cancel, cut_over, finish, held, move, pair, roll_back, start


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Yield the use cases with an empty gallery "g" and two packs."""
    built = build_house(tmp_path, TwoPackVision())
    await built.make_gallery()
    yield built
    built.close()


async def change_at_random(house: House, seed: int, changes: int) -> None:
    """Enrol, replace and delete subjects of one's own."""
    chance = random.Random(seed)
    for number in range(changes):
        subject = f"s{seed}-{chance.randrange(3)}"
        if chance.random() < 0.3:
            with suppress(SubjectNotFound):
                await house.subjects.delete(call("DeleteSubject"), "g", subject)
        else:
            mode = chance.choice([EnrollMode.ADD, EnrollMode.REPLACE])
            await house.add(subject, f"{subject}#{number}".encode(), mode=mode)
        await asyncio.sleep(0)


async def test_changes_during_the_copying_reach_both(house: House) -> None:
    """Enrolments, replacements and deletions beside the copying leave two equal galleries."""
    await asyncio.gather(*(change_at_random(house, seed, 6) for seed in range(4)))

    async def migrate() -> None:
        await start(house)
        await house.migrate()

    await asyncio.gather(migrate(), *(change_at_random(house, seed, 12) for seed in range(4)))
    gallery, twin = await pair(house)
    assert await held(house, gallery) == await held(house, twin)
    await asyncio.gather(cut_over(house), *(change_at_random(house, seed, 6) for seed in range(4)))
    gallery, twin = await pair(house)
    found = await held(house, gallery)
    assert found == await held(house, twin)
    assert found
    for one in (gallery, twin):
        assert house.projection.subject_count(one) == len(found)


async def test_no_search_fails_or_mixes_packs(house: House) -> None:
    """Searches go on through cut over and roll back, each with the templates of one pack."""
    for name in (b"ann", b"bob"):
        await house.add(name.decode(), name)
    await move(house)
    packs, swapping = set(), True

    async def search() -> None:
        while swapping:
            found = await house.search(b"ann#2")
            assert [hit.subject_id for hit in found.results[0].candidates] == ["ann"]
            packs.add(found.report.gallery.pack)
            verified = await house.verify(
                call("Verify"),
                "g",
                subject_id="bob",
                probe=b"bob#2",
                selection=FaceSelection.EXACTLY_ONE,
                min_revision="",
            )
            assert verified.best.score > 0.9

    searches = [asyncio.create_task(search()) for _ in range(4)]
    for _ in range(10):
        for step in (cut_over, roll_back):
            await step(house)
            await asyncio.sleep(0.01)
    swapping = False
    await asyncio.gather(*searches)
    assert packs == {"fake", "new"}


class SlowVision(TwoPackVision):
    """Waits, while it looks for faces, until somebody goes on."""

    def __init__(self) -> None:
        """Wait for nobody yet."""
        super().__init__()
        self.looking, self.going_on = asyncio.Event(), asyncio.Event()
        self.going_on.set()

    async def detect(self, photograph, pack, alignments, options):  # noqa: ANN001, ANN201  # as its base
        """Return what TwoPackVision sees, after a while."""
        self.looking.set()
        await self.going_on.wait()
        return await super().detect(photograph, pack, alignments, options)


@pytest.mark.parametrize("end", [None, finish, cancel])
async def test_a_call_under_way_follows_the_gallery(tmp_path: Path, end: object) -> None:
    """Through a start or a cut over it succeeds; if its gallery is gone it is told to come again."""
    vision = SlowVision()
    house = build_house(tmp_path, vision)
    await house.make_gallery()
    await house.add("ann", b"ann")
    await move(house)
    if end is cancel:
        await cut_over(house)
    vision.looking.clear()
    vision.going_on.clear()
    tasks = [
        asyncio.create_task(house.add("bob", b"bob", request_id="q")),
        asyncio.create_task(house.search(b"ann")),
    ]
    await vision.looking.wait()
    await (roll_back if end is cancel else cut_over)(house)
    if callable(end):
        await end(house)
    vision.going_on.set()
    if end is None:
        _, found = await asyncio.gather(*tasks)
        assert [hit.subject_id for hit in found.results[0].candidates] == ["ann"]
        gallery, twin = await pair(house)
        assert await held(house, gallery) == await held(house, twin)
    else:
        for task in tasks:
            with pytest.raises(GalleryMoved):
                await task
        await house.add("bob", b"bob", request_id="q")
        (gallery_id,) = {path.name for path in (tmp_path / "tenants/default/galleries").iterdir()}
        assert gallery_id == (await house.galleries.get("g")).gallery_id
    assert await house.found(b"bob#2") == ["bob"]
    house.close()


async def test_a_migration_that_ends_while_it_copies_leaves_nothing(tmp_path: Path) -> None:
    """Cancelled in the middle of the copying, the job ends and the twin is gone; it can be started again."""
    vision = SlowVision()
    house = build_house(tmp_path, vision)
    await house.make_gallery()
    for number in range(4):
        await house.add(f"s{number}", b"s%d" % number)
    await start(house)
    vision.looking.clear()
    vision.going_on.clear()
    copying = asyncio.create_task(house.migrate())
    await vision.looking.wait()
    await cancel(house)
    vision.going_on.set()
    await copying
    assert len(list((tmp_path / "tenants/default/galleries").iterdir())) == 1
    await move(house)
    assert (await house.migrations.get("g")).state is MigrationState.READY
    house.close()


class FailingStore(LocalObjectStore):
    """A folder that copies no object while `broken`."""

    broken = False

    def copy(self, key: str, target: str) -> None:
        """Copy, or fail."""
        if self.broken:
            raise OSError("broken")
        super().copy(key, target)


async def test_a_change_that_reached_one_gallery_is_caught_up(tmp_path: Path) -> None:
    """An enrolment that failed half way is in both soon after, and before any cut over."""
    store = FailingStore(tmp_path)
    house = build_house(tmp_path, TwoPackVision(), store)
    await house.make_gallery()
    await move(house)
    store.broken = True
    with pytest.raises(StoreUnavailable):
        await house.add("ann", b"ann")
    for step in (house.migrate(), cut_over(house)):
        with pytest.raises(StoreUnavailable):
            await step
    store.broken = False
    await cut_over(house)
    assert await house.found(b"ann#2") == ["ann"]
    house.close()
