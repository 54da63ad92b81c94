"""The steps of a migration: their order, their end, and what clients hold from before them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from facegrid.domain.errors import (
    EncounterDeleted,
    InvalidField,
    PackNotFound,
    RequestIdReused,
    WrongMigrationState,
)
from facegrid.domain.revisions import revision_token
from facegrid.identity.enroll import EnrollMode
from facegrid.identity.writes import Writes
from fakes import TwoPackVision
from house import House, build_house, call
from identity.moving import cancel, cut_over, finish, move, pair, roll_back, start


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Yield the use cases with an empty gallery "g" and two packs."""
    built = build_house(tmp_path, TwoPackVision())
    await built.make_gallery()
    yield built
    built.close()


@pytest.mark.parametrize("compacted", [False, True])
async def test_request_ids_mean_the_same_after_a_cut_over(house: House, *, compacted: bool) -> None:
    """A retry is answered as before, or refused as before, whatever happened before or in the migration."""
    await house.add("ann", b"ann", request_id="kept")
    await house.add("bob", b"bob", request_id="deleted")
    await house.add("eve", b"eve", request_id="replaced")
    await house.subjects.delete(call("DeleteSubject", "deletion"), "g", "bob")
    await house.add("eve", b"eve#2", mode=EnrollMode.REPLACE)
    if compacted:
        await house.records.compact(await house.galleries.get("g"), Writes(1).hold)
    await start(house)
    await house.add("joe", b"joe", request_id="live")
    await house.add("dan", b"dan", request_id="gone")
    await house.subjects.delete(call("DeleteSubject", "end"), "g", "dan")
    await house.migrate()
    if compacted:
        for gallery in await pair(house):
            await house.records.compact(gallery, Writes(1).hold)
    await cut_over(house)
    await finish(house)
    for name, subject, request_id in ((b"bob", "bob", "deleted"), (b"eve", "eve", "replaced")):
        with pytest.raises(EncounterDeleted):
            await house.add(subject, name, request_id=request_id)
    with pytest.raises(EncounterDeleted):
        await house.add("dan", b"dan", request_id="gone")
    for name, request_id in ((b"ann", "kept"), (b"joe", "live")):
        await house.add(name.decode(), name, request_id=request_id)
        assert len((await house.subjects.get("g", name.decode())).encounters) == 1
        with pytest.raises(RequestIdReused):
            await house.add(name.decode(), name + b"#2", request_id=request_id)
    for subject, request_id in (("bob", "deletion"), ("dan", "end")):
        await house.subjects.delete(call("DeleteSubject", request_id), "g", subject)


async def test_a_revision_of_the_other_gallery_is_reached(house: House) -> None:
    """One from before a cut over, a roll back or the end counts; one of another gallery is wrong."""
    encounter = await house.add("ann", b"ann")
    old = await house.galleries.get("g")
    token = revision_token(old.gallery_id, encounter.revision)
    await move(house)
    await cut_over(house)
    assert (await house.search(b"ann", min_revision=token)).results[0].candidates
    new = await house.galleries.get("g")
    await roll_back(house)
    assert await house.search(b"ann", min_revision=revision_token(new.gallery_id, encounter.revision))
    await cut_over(house)
    await finish(house)
    assert (await house.search(b"ann", min_revision=token)).results[0].candidates
    with pytest.raises(InvalidField, match="min_revision"):
        await house.search(b"ann", min_revision=revision_token("ab" * 16, encounter.revision))


async def test_the_end_removes_one_of_the_two_and_its_retry_no_more(house: House, tmp_path: Path) -> None:
    """Finish drops the old, Cancel the new; photographs are kept once again."""
    await house.add("ann", b"ann")
    for keep_new in (False, True):
        await move(house)
        gallery, twin = await pair(house)
        assert len(list(tmp_path.rglob("source"))) == 2
        if keep_new:
            await cut_over(house)
        for _ in range(2):
            await (finish if keep_new else cancel)(house, f"end-{keep_new}")
        kept = twin if keep_new else gallery
        assert (await house.galleries.get("g")).gallery_id == kept.gallery_id
        assert len(list(tmp_path.rglob("source"))) == 1
        assert await house.found(b"ann#2") == ["ann"]
    for end in (finish, cancel):
        with pytest.raises(WrongMigrationState, match="not moving"):
            await end(house)
    await house.galleries.delete(call("DeleteGallery"), "g")
    assert not list(tmp_path.rglob("source"))


async def test_steps_come_in_their_order(house: House) -> None:
    """No cut over before all is copied, no end of the gallery that is in use, no other pack meanwhile."""
    house.vision.packs["third"] = replace(house.vision.packs["new"], name="third", template_version="third-1")
    await house.add("ann", b"ann")
    for step in (cut_over, roll_back, finish, cancel):
        with pytest.raises(WrongMigrationState, match="not moving"):
            await step(house)
    await start(house)
    for step, why in ((cut_over, "still being copied"), (finish, "not cut over yet")):
        with pytest.raises(WrongMigrationState, match=why):
            await step(house)
    with pytest.raises(WrongMigrationState, match="moving to pack new"):
        await house.migrations.start(
            "g", pack_name="third", verify_threshold=None, identify_threshold=None, shadow=None
        )
    with pytest.raises(WrongMigrationState, match="finish or cancel"):
        await house.galleries.delete(call("DeleteGallery"), "g")
    await house.migrate()
    for _ in range(2):
        await cut_over(house)
    with pytest.raises(WrongMigrationState, match="roll it back first"):
        await cancel(house)
    for _ in range(2):
        await roll_back(house)
    assert (await start(house, shadow=0.25)).shadow == 0.25
    assert (await start(house)).shadow == 0.25


async def test_what_cannot_be_started_is_refused(house: House) -> None:
    """A pack that is missing, or the gallery's own, moves nothing; nor is a twin left behind by it."""
    for pack_name, error in (("none", PackNotFound), ("", InvalidField), ("fake", InvalidField)):
        with pytest.raises(error):
            await house.migrations.start(
                "g", pack_name=pack_name, verify_threshold=None, identify_threshold=None, shadow=None
            )
    with pytest.raises(InvalidField, match="share"):
        await start(house, shadow=1.5)
    assert await house.records.nameless_galleries() == []
    assert (await house.galleries.get("g")).migration is None


async def test_a_twin_is_no_gallery_of_its_own(house: House) -> None:
    """It is not listed, and the next start takes it for no remains."""
    await move(house)
    listed, _ = await house.galleries.list(10, "")
    assert [one.name for one in listed] == ["g"]
    assert await house.records.nameless_galleries() == []
