"""Shadow searches: what live probes would have been told by the other gallery of a migration."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facegrid.domain.faces import FaceSelection
from facegrid.domain.migrations import ShadowCounts
from facegrid.domain.templates import SentTemplate
from fakes import TwoPackVision, fake_template
from house import House, build_house, call
from identity.moving import cut_over, move, roll_back, start


class Forgetful(TwoPackVision):
    """Takes some people for others, with the pack "new"."""

    def __init__(self) -> None:
        """Confuse nobody yet, and wait for nobody."""
        super().__init__()
        self.taken_for: dict[bytes, bytes] = {}
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def detect(self, photograph, pack, alignments, options):  # noqa: ANN001, ANN201  # as its base
        """Return what is seen."""
        if pack == "new":
            await self.going_on.wait()
        seen = self.taken_for.get(photograph, photograph) if pack == "new" else photograph
        return await super().detect(seen, pack, alignments, options)


@pytest.fixture
async def vision() -> Forgetful:
    """Return what sees."""
    return Forgetful()


@pytest.fixture
async def house(tmp_path: Path, vision: Forgetful) -> AsyncIterator[House]:
    """Yield a gallery of ann and bob, all searches of which are repeated."""
    built = build_house(tmp_path, vision)
    await built.make_gallery()
    for name in (b"ann", b"bob"):
        await built.add(name.decode(), name)
    await move(built, shadow=1)
    yield built
    built.close()


async def counted(house: House) -> ShadowCounts:
    """Wait for the search that is repeated, and return the counts."""
    if house.identify._shadow._task:
        await house.identify._shadow._task
    return (await house.migrations.get("g")).progress.shadowed


async def test_decisions_are_told_apart(house: House, vision: Forgetful) -> None:
    """Agreement, lost and gained matches, other subjects and unseen faces are counted each."""
    vision.taken_for = {b"ann#1": b"eve", b"eve#1": b"ann", b"ann#4": b"bob"}
    vision.unseen = {b"bob#9"}
    for probe in (b"ann#2", b"eve", b"ann#1", b"eve#1", b"ann#4", b"bob#9"):
        await house.search(probe)
        counts = await counted(house)
    assert counts == ShadowCounts(agreed=2, lost=1, gained=1, other_subject=1, unseen=1)


async def test_each_face_of_a_crowd_is_counted(house: House) -> None:
    """The faces are those that were searched, whatever order the other pack finds them in."""
    await house.search(b"bob+eve+ann", selection=FaceSelection.ALL)
    assert await counted(house) == ShadowCounts(agreed=3)


async def test_verifications_are_counted(house: House, vision: Forgetful) -> None:
    """A claimed identity is compared with the same subject of the other gallery."""
    vision.taken_for = {b"ann#1": b"eve"}
    for probe in (b"ann#2", b"eve", b"ann#1"):
        await house.verify(
            call("Verify"),
            "g",
            subject_id="ann",
            probe=probe,
            selection=FaceSelection.EXACTLY_ONE,
            min_revision="",
        )
        counts = await counted(house)
    assert counts == ShadowCounts(agreed=2, lost=1)


async def test_what_cannot_be_repeated_is_not_counted(house: House) -> None:
    """Templates say nothing to another pack; several photographs of one person are not repeated."""
    await house.search(b"ann", b"ann#2")
    template = fake_template(b"ann")
    await house.identify(
        call("Identify"),
        "g",
        [SentTemplate(template.version, template.to_bytes(), 0.0)],
        FaceSelection.EXACTLY_ONE,
        top=1,
        include_below_threshold=False,
        min_revision="",
    )
    assert await counted(house) == ShadowCounts()


async def test_one_search_is_repeated_at_a_time(house: House, vision: Forgetful) -> None:
    """Searches that come while one is repeated are answered and not counted."""
    vision.going_on.clear()
    for _ in range(3):
        await house.search(b"ann")
    vision.going_on.set()
    assert await counted(house) == ShadowCounts(agreed=1)


async def test_a_server_that_ends_waits_for_no_shadow(house: House, vision: Forgetful) -> None:
    """A search that is being repeated is broken off, and not counted."""
    vision.going_on.clear()
    await house.search(b"ann")
    await house.identify._shadow.close()
    assert (await house.migrations.get("g")).progress.shadowed == ShadowCounts()


async def test_each_direction_has_counts_of_its_own(house: House) -> None:
    """After a cut over the former gallery repeats the searches; no share, no counts."""
    await house.search(b"ann")
    assert (await counted(house)).agreed == 1
    await cut_over(house)
    assert await counted(house) == ShadowCounts()
    await house.search(b"ann")
    assert (await counted(house)).agreed == 1
    await start(house, shadow=0)
    await house.search(b"ann")
    assert (await counted(house)).agreed == 1
    await roll_back(house)
    assert (await counted(house)).agreed == 1


async def test_a_twin_that_is_not_complete_is_not_asked(tmp_path: Path) -> None:
    """Before all is copied it would miss people that it does not have yet."""
    house = build_house(tmp_path, TwoPackVision())
    await house.make_gallery()
    await house.add("ann", b"ann")
    await start(house, shadow=1)
    await house.search(b"ann")
    assert await counted(house) == ShadowCounts()
    house.close()
