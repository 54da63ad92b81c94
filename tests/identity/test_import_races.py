"""Subjects that are changed and deleted while an import of them is being shown."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from facegrid.domain.errors import StoreUnavailable
from facegrid.domain.galleries import IndexEntry, IndexRows
from facegrid.domain.labels import Labels, Status, labels_checksum
from facegrid.identity import bulk_import
from house import House, call
from identity.test_bulk import imported

Change = Callable[[House], Awaitable[object]]


class LateIndex:
    """Takes the first rows that come once it is released, and may say that it failed then."""

    def __init__(self, house: House, *, fails: bool) -> None:
        """Stand before the index of a house."""
        self._index, self._add, self._fails = house.index, house.index.add, fails
        self.begun, self.released = asyncio.Event(), asyncio.Event()
        self._index.add = self.add  # type: ignore[method-assign]

    async def add(self, gallery: str, rows: IndexRows) -> None:
        """Add rows late."""
        self._index.add = self._add  # type: ignore[method-assign]
        self.begun.set()
        await self.released.wait()
        await self._add(gallery, rows)
        if self._fails:
            raise StoreUnavailable("the index went away")


async def delete(house: House) -> None:
    """Delete Ann."""
    await house.subjects.delete(call("DeleteSubject"), "g", "ann")


async def hide_and_show(house: House) -> None:
    """Take Ann out of searches, and in again."""
    for status in (Status.INACTIVE, Status.ACTIVE):
        await house.update.subject(call("UpdateSubject"), "g", "ann", status)


async def relabel(house: House) -> None:
    """Change what is said of Ann."""
    (encounter,) = (await house.subjects.get("g", "ann")).encounters
    update, labels = call("UpdateEncounter"), Labels({"country": "DE"})
    one = encounter.encounter_id
    await house.update.encounter(update, "g", "ann", one, labels=labels, fields=["metadata"])


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    ("change", "expected"),
    [(delete, None), (hide_and_show, Labels()), (relabel, Labels({"country": "DE"}))],
)
async def test_what_changes_while_it_is_indexed_stays_changed(
    house: House, monkeypatch: pytest.MonkeyPatch, change: Change, expected: Labels | None, *, fails: bool
) -> None:
    """The index holds what counts by then, and neither what was read before nor less, if it fails first."""
    monkeypatch.setattr(bulk_import, "_PAUSE_S", 0)
    index = LateIndex(house, fails=fails)
    importing = asyncio.create_task(imported(house, ("ann", "bob")))
    await index.begun.wait()
    changing = asyncio.create_task(change(house))
    await asyncio.wait([changing], timeout=0.2)
    index.released.set()
    done = await importing
    await changing
    held: list[IndexEntry] = []
    async for page in house.projection.entries(done.gallery):
        held += page
    labels = {"bob": Labels()} | ({} if expected is None else {"ann": expected})
    people = {one: labels_checksum(said) for one, said in labels.items()}
    assert {one.subject_id: one.labels for one in held} == people
    state = house.projection._states[done.gallery.gallery_id]
    state.hidden.clear()  # as a minute later
    assert {one: await house.found(one.encode()) for one in ("ann", "bob")} == {
        one: [one] if one in people else [] for one in ("ann", "bob")
    }
    assert house.projection.subject_count(done.gallery) == len(people)
    assert not state.streams
