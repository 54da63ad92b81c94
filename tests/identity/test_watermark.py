"""How far an index has come: what the next start need not do again, and what followers report."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from facegrid.domain.errors import IndexLoading, StoreUnavailable
from facegrid.domain.galleries import Gallery, IndexRows
from facegrid.domain.index_settings import EXACT_INDEX, IndexSettings
from facegrid.identity.enroll import EnrollMode
from facegrid.identity.following import Following
from facegrid.storage.indexes.resident import ResidentIndex
from facegrid.storage.records.followed import FollowedRecords
from fakes import FakeVision, fake_template
from house import House, build_house, call
from storage.making import DyingStore, MemoryStore, PowerCut


class OutlivingIndex(ResidentIndex):
    """An index that outlives the processes that use it, as a server does, and dies with `store` for them."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        super().__init__(workers=1)
        self.store: DyingStore | None = None
        self.place, self.opened, self.added, self.failing = "", 0, 0, False
        self.followed: list[str] = []
        self.still: asyncio.Event | None = None

    async def open(
        self, gallery: str, version: str, dimension: int, settings: IndexSettings = EXACT_INDEX
    ) -> set[str]:
        """Count how often all keys are read."""
        self.opened += 1
        self.place = self.place or "collection/1"
        return await super().open(gallery, version, dimension, settings)

    async def resume(
        self,
        gallery: str,  # noqa: ARG002  # the port's
        version: str,  # noqa: ARG002
        settings: IndexSettings = EXACT_INDEX,  # noqa: ARG002
    ) -> str:
        """Go on with what is there."""
        return self.place

    async def add(self, gallery: str, rows: IndexRows) -> None:
        """Add rows, unless the power is cut, or the process stands still before it."""
        self._write()
        if self.still:
            self.still.set()
            await asyncio.Event().wait()
        self.added += len(rows)
        await super().add(gallery, rows)

    async def remove(self, gallery: str, encounter_ids: Sequence[str]) -> None:
        """Remove rows, unless the power is cut."""
        self._write()
        if self.failing:
            raise StoreUnavailable("the index does not answer")
        await super().remove(gallery, encounter_ids)

    def follow(self, gallery: str, settings: IndexSettings = EXACT_INDEX) -> None:  # noqa: ARG002  # the port's
        """Note who wants to see everything."""
        self.followed.append(gallery)

    def _write(self) -> None:
        if self.store:
            self.store._write()


class Site:
    """A store with a gallery "g" and an index that both outlive the servers."""

    def __init__(self, folder: Path) -> None:
        """Take a folder that nothing is written to."""
        self._folder, self.store, self.index = folder, MemoryStore(), OutlivingIndex()
        self._ended: Callable[[], None] = lambda: None

    async def start(self, writes: int = 10**9) -> House:
        """Start a server whose power is cut after so many writes; it has filled its index."""
        self.index.store = DyingStore(self.store, writes)
        house = build_house(self._folder, FakeVision(), self.index.store, self.index)
        self._ended()
        self._ended = house.records.close
        await house.galleries.fill()
        return house

    async def check(self) -> Gallery:
        """Start a server, and hold the index against the records."""
        house = await self.start()
        gallery = await house.galleries.get("g")
        recorded = {key async for rows, _ in house.records.rows(gallery) for key in rows.keys}
        assert await ResidentIndex.open(self.index, gallery.gallery_id, "fake-1", 64) == recorded
        assert house.projection.subject_count(gallery) == len({key.partition("/")[0] for key in recorded})
        return gallery


@pytest.fixture(autouse=True)
def _settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegrid.identity.projection._SETTLING_S", 0.0)


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    """Make a site where Ann was enrolled and all is written down."""
    made = Site(tmp_path)
    house = await made.start()
    await house.make_gallery()
    await house.add("ann", b"ann", request_id="one")
    await publish(house)
    return made


async def publish(house: House) -> None:
    """Let a round pass."""
    for _ in range(2):
        await house.projection.publish()


async def work(house: House) -> None:
    """Change each of what there is, published in between, and compact."""
    await house.add("bob", b"bob", request_id="two")
    await house.add("ann", b"ann#2", mode=EnrollMode.REPLACE, request_id="three")
    await publish(house)
    await house.add("ann", b"ann#3", mode=EnrollMode.REPLACE, request_id="four")
    await house.subjects.delete(call("DeleteSubject", "five"), "g", "bob")
    await house.records.compact(await house.galleries.get("g"), house.enroll._writes.hold)
    await publish(house)
    await house.add("cy", b"cy", request_id="six")
    await house.add("ann", b"ann#4", mode=EnrollMode.REPLACE, request_id="seven")


async def test_a_start_goes_on_where_the_last_server_was_killed(tmp_path: Path) -> None:
    """After each single write, of either store, the index is made what the records are; keys are not read."""
    for writes in count():
        site = Site(tmp_path)
        house = await site.start()
        await house.make_gallery()
        await house.add("ann", b"ann", request_id="one")
        await publish(house)
        opened, finished = site.index.opened, False
        with suppress(PowerCut):
            await work(await site.start(writes))
            finished = True
        await site.check()
        await site.check()
        assert site.index.opened == opened
        if finished:
            assert writes > 50
            return


async def test_a_watermark_stays_below_what_is_under_way(site: Site) -> None:
    """A server that is killed between a record and its row, after a watermark, leaves the row to the next."""
    house, opened = await site.start(), site.index.opened
    site.index.still = asyncio.Event()
    adding = asyncio.create_task(house.add("bob", b"bob"))
    await site.index.still.wait()
    await publish(house)
    site.index.still = None
    await site.check()
    assert site.index.opened == opened
    adding.cancel()


async def test_only_what_changed_is_added_again(site: Site) -> None:
    """What the watermark covers stays where it is."""
    house = await site.start()
    await house.records.compact(await house.galleries.get("g"), house.enroll._writes.hold)
    await house.add("bob", b"bob")
    site.index.added = 0
    await site.check()
    assert site.index.added == 1


async def test_an_index_that_lost_rows_is_compared_with_the_records(site: Site) -> None:
    """Its count tells, whatever the watermark says."""
    gallery = await site.check()
    house = await site.start()
    encounter = (await house.subjects.get("g", "ann")).encounters[0]
    await ResidentIndex.remove(site.index, gallery.gallery_id, [encounter.encounter_id])
    await site.check()


async def test_another_collection_is_compared_with_the_records(site: Site) -> None:
    """A watermark speaks of one collection."""
    site.index.place, opened = "collection/2", site.index.opened
    await site.check()
    assert site.index.opened > opened


async def test_after_a_failure_all_is_compared(site: Site) -> None:
    """An index that did not answer may hold what no record names any more."""
    house = await site.start()
    site.index.failing = True
    with pytest.raises(StoreUnavailable):
        await house.add("ann", b"ann#2", mode=EnrollMode.REPLACE)
    site.index.failing = False
    await house.add("ann", b"ann#3", mode=EnrollMode.REPLACE)
    await publish(house)
    opened = site.index.opened
    await site.check()
    assert site.index.opened > opened


async def test_a_follower_reports_what_was_published(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than that; a later revision makes the index show all that was acknowledged."""
    monkeypatch.setattr("facegrid.identity.recent._AGE_S", 0.0)
    gallery = await site.check()
    following = Following(FollowedRecords(site.store, workers=1), site.index)
    await following.ready(gallery)
    before = following.revision(gallery)
    leader = await site.start()
    encounter = await leader.add("bob", b"bob")
    await leader.projection.publish()
    await following.ready(gallery)
    assert (following.revision(gallery), following.subject_count(gallery)) == (before, 1)
    site.index.followed.clear()
    await following.reach(gallery, encounter.revision, None)
    assert site.index.followed == [gallery.gallery_id]
    assert [
        hit.subject_id for hit in (await following.search(gallery, fake_template(b"bob").vector[None], 1))[0]
    ]
    await leader.projection.publish()
    await following.reach(gallery, encounter.revision, None)
    assert (following.revision(gallery), following.subject_count(gallery)) == (encounter.revision, 2)
    assert site.index.followed == [gallery.gallery_id]


async def test_a_gallery_that_the_leader_is_filling_is_loading(site: Site) -> None:
    """A follower does not search what nobody has filled."""
    gallery = await site.check()
    site.store.delete(f"tenants/default/galleries/{gallery.gallery_id}/index.json")
    following = Following(FollowedRecords(site.store, workers=1), site.index)
    with pytest.raises(IndexLoading):
        await following.ready(gallery)
