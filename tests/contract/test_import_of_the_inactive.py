"""Templates that are imported into inactive subjects, in every kind of index."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from facegrid.domain.columns import SentColumns
from facegrid.domain.errors import IndexLoading
from facegrid.domain.galleries import Encounter
from facegrid.domain.labels import Status
from facegrid.identity.bulk_import import ImportTemplates
from facegrid.identity.ports import Index
from facegrid.identity.projection import Projection
from fakes import FakeVision, fake_template
from house import House, build_house, call

NAMES = ("ann", "bob", "new")


@pytest.fixture
async def house(index: Index, tmp_path: Path) -> AsyncIterator[House]:
    """Yield a gallery with ann and bob, of whom ann is inactive."""
    built = build_house(tmp_path, FakeVision(), index=index)
    with suppress(IndexLoading):
        await built.make_gallery()
    await built.projection.fill(await built.galleries.get("g"))
    for name in ("ann", "bob"):
        await built.add(name, f"{name}#first".encode())
    await set_status(built, Status.INACTIVE)
    yield built
    await built.galleries.delete(call("DeleteGallery"), "g")
    built.threads.shutdown()
    built.records.close()


async def set_status(house: House, status: Status) -> None:
    """Change ann's."""
    await house.update.subject(call("UpdateSubject"), "g", "ann", status)


async def compact(house: House) -> None:
    """Make rows of all objects."""
    await house.records.compact(await house.galleries.get("g"), house.subjects._writes.hold)


async def import_all(house: House) -> None:
    """Import a template for each name."""

    async def batches() -> AsyncIterator[SentColumns]:
        vectors = np.stack([fake_template(name.encode()).vector for name in NAMES])
        yield SentColumns(0, NAMES, [], [], vectors.tobytes(), [])

    importing = ImportTemplates(house.galleries, house.records, house.projection)
    _ = [one async for one in importing(call("ImportTemplates"), "g", "fake-1", batches())]


async def encounters(house: House) -> list[Encounter]:
    """Return ann's."""
    return list((await house.subjects.get("g", "ann")).encounters)


async def found(house: House) -> list[list[str]]:
    """Return whom each name's imported template finds."""
    return [await house.found(name.encode()) for name in NAMES]


@pytest.mark.parametrize("compacted", [False, True])
async def test_what_is_imported_into_an_inactive_subject_is_not_found(house: House, compacted: bool) -> None:
    """Now, after compactions and where the index is filled again; from its activation on it is."""
    gallery = await house.galleries.get("g")
    if compacted:
        await compact(house)
    await import_all(house)
    for _ in range(2):
        assert await found(house) == [[], ["bob"], ["new"]]
        assert (await house.subjects.get("g", "ann")).status is Status.INACTIVE
        assert len(await encounters(house)) == 2
        await house.index.drop(gallery.gallery_id)
        house.projection._states.clear()
        await house.projection.fill(gallery)
        assert await found(house) == [[], ["bob"], ["new"]]
        await compact(house)
    await set_status(house, Status.ACTIVE)
    assert await found(house) == [["ann"], ["bob"], ["new"]]
    await compact(house)
    projection = Projection(house.records, house.index)
    await projection.fill(gallery)
    assert projection.encounter_count(gallery) == 5


async def test_a_status_that_changes_during_an_import_is_that_of_all_its_encounters(house: House) -> None:
    """Whether it is known before the rows count or after them, and folded meanwhile or not."""
    begin = house.records.begin_import

    async def activate_meanwhile(*args: object) -> object:
        incoming = await begin(*args)  # type: ignore[arg-type]
        await set_status(house, Status.ACTIVE)
        await compact(house)
        return incoming

    house.records.begin_import = activate_meanwhile  # type: ignore[method-assign,assignment]
    await import_all(house)
    assert await found(house) == [["ann"], ["bob"], ["new"]]
    house.records.begin_import = begin  # type: ignore[method-assign]
    await import_all(house)
    await set_status(house, Status.INACTIVE)
    assert await found(house) == [[], ["bob"], ["new"]]
    assert len(await encounters(house)) == 3
