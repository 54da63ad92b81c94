"""Compaction as the use cases meet it: nothing that they promise changes."""

import asyncio
from pathlib import Path

import pytest

from facegrid.domain.errors import EncounterDeleted, GalleryNotFound, SubjectNotFound
from facegrid.identity.compaction import Compact
from facegrid.identity.enroll import EnrollMode
from fakes import FakeVision
from house import House, build_house, call


def compactor(house: House, changes: int = 1) -> Compact:
    """Return the use case."""
    return Compact(house.galleries, house.records, house.projection, house.subjects._writes, changes)


async def test_galleries_are_compacted_once_enough_has_changed(house: House) -> None:
    """Enrolments and deletions count alike; a gallery that was compacted begins anew."""
    compact = compactor(house, changes=3)
    for name in ("ann", "bob"):
        await house.add(name, name.encode())
    assert await compact() == 0
    await house.subjects.delete(call("DeleteSubject"), "g", "ann")
    assert await compact() == 1
    assert await compact() == 0


async def test_a_restarted_server_finds_what_was_compacted(house: House, tmp_path: Path) -> None:
    """Searches, subjects, retries and deletions go on as if nothing had happened."""
    await house.add("ann", b"ann", request_id="first")
    await house.add("bob", b"bob", request_id="second")
    assert await compactor(house)() == 1
    house.close()
    again = build_house(tmp_path, FakeVision())
    assert await again.found(b"ann#2") == ["ann"]
    assert (await again.add("ann", b"ann", request_id="first")).subject_id == "ann"
    await again.add("bob", b"bob#2", mode=EnrollMode.REPLACE)
    await again.subjects.delete(call("DeleteSubject", "gone"), "g", "ann")
    assert await compactor(again)() == 1
    again.close()
    last = build_house(tmp_path, FakeVision())
    assert await last.found(b"ann") == []
    assert await last.found(b"bob#2") == ["bob"]
    assert len((await last.subjects.get("g", "bob")).encounters) == 1
    for name, request_id in (("ann", "first"), ("bob", "second")):
        with pytest.raises(EncounterDeleted):
            await last.add(name, name.encode(), request_id=request_id)
    await last.subjects.delete(call("DeleteSubject", "gone"), "g", "ann")
    with pytest.raises(SubjectNotFound):
        await last.subjects.delete(call("DeleteSubject"), "g", "ann")
    last.close()


async def test_writers_go_on_beside_compactions(house: House, tmp_path: Path) -> None:
    """Everybody whose calls were answered is found, then and after a restart, and nobody else."""
    compact, ending = compactor(house), asyncio.Event()

    async def keep_compacting() -> int:
        runs = 0
        while not ending.is_set():
            runs += await compact()
            await asyncio.sleep(0.001)
        return runs

    async def come_and_go(name: str) -> None:
        for number in range(6):
            await house.add(name, f"{name}#{number}".encode(), mode=EnrollMode.REPLACE)
            assert await house.found(name.encode()) == [name]
            assert len((await house.subjects.get("g", name)).encounters) == 1
            if number % 2:
                await house.subjects.delete(call("DeleteSubject"), "g", name)
                assert await house.found(name.encode()) == []
        await house.add(name, name.encode())

    compacting = asyncio.create_task(keep_compacting())
    names = [f"person-{number}" for number in range(4)]
    await asyncio.gather(*map(come_and_go, names))
    ending.set()
    assert await compacting > 1
    house.close()
    again = build_house(tmp_path, FakeVision())
    for name in names:
        assert await again.found(name.encode()) == [name]
        assert len((await again.subjects.get("g", name)).encounters) == 1
    again.close()


async def test_a_gallery_deleted_while_it_is_compacted_leaves_nothing(house: House, tmp_path: Path) -> None:
    """What the compaction wrote after the deletion goes as well."""
    for number in range(5):
        await house.add(f"person-{number}", f"person-{number}".encode())
    found = await house.galleries.get("g")
    compacting = asyncio.create_task(compactor(house)())
    await asyncio.sleep(0.005)
    await house.galleries.delete(call("DeleteGallery"), "g")
    await compacting
    with pytest.raises(GalleryNotFound):
        await house.galleries.get("g")
    assert not list(tmp_path.rglob(f"*{found.gallery_id}*/*"))
