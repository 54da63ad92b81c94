"""An index that goes away and comes back: what it missed meanwhile."""

from collections.abc import Sequence

import pytest

from facegrid.domain.errors import StoreUnavailable
from facegrid.domain.galleries import IndexRows
from facegrid.identity.catching_up import CatchUp
from facegrid.identity.enroll import EnrollMode
from facegrid.storage.indexes.resident import ResidentIndex
from house import House, call


class AwayIndex(ResidentIndex):
    """An index that does not answer changes while it is away."""

    away = False

    async def add(self, gallery: str, rows: IndexRows) -> None:
        """Add, or fail."""
        self._check()
        await super().add(gallery, rows)

    async def remove(self, gallery: str, encounter_ids: Sequence[str]) -> None:
        """Remove, or fail."""
        self._check()
        await super().remove(gallery, encounter_ids)

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("the index does not answer")


@pytest.fixture
async def index(house: House) -> AwayIndex:
    """Let the house's index go away at will."""
    house.index.__class__ = AwayIndex
    assert isinstance(house.index, AwayIndex)
    await house.add("ann", b"ann")
    await house.add("bob", b"bob")
    return house.index


@pytest.fixture
def catch_up(house: House) -> CatchUp:
    """Make what the server does beside its calls."""
    return CatchUp(house.projection, house.subjects._writes)


async def test_what_nobody_tries_again_is_searched_when_the_index_is_back(
    house: House, index: AwayIndex, catch_up: CatchUp
) -> None:
    """The record was written: so the subject is found, and its former encounter is gone."""
    index.away = True
    with pytest.raises(StoreUnavailable):
        await house.add("ann", b"ann#2", mode=EnrollMode.REPLACE)
    assert await catch_up() == 0
    index.away = False
    assert await catch_up() > 0
    assert await house.found(b"ann#2") == ["ann"]
    assert len(index._galleries[(await house.galleries.get("g")).gallery_id].keys()) == 2
    assert not house.projection.behind()


async def test_a_deletion_that_nobody_tries_again_is_complete(
    house: House, index: AwayIndex, catch_up: CatchUp
) -> None:
    """It hides the subject at once, and its rows go when the index is back."""
    index.away = True
    with pytest.raises(StoreUnavailable):
        await house.subjects.delete(call("DeleteSubject"), "g", "ann")
    assert await house.found(b"ann") == []
    index.away = False
    await catch_up()
    assert len(index._galleries[(await house.galleries.get("g")).gallery_id].keys()) == 1


async def test_nobody_else_writes_while_the_index_is_behind(house: House, index: AwayIndex) -> None:
    """Refused before anything is stored: what has to be caught up with does not grow."""
    index.away = True
    with pytest.raises(StoreUnavailable):
        await house.add("eve", b"eve", request_id="first")
    with pytest.raises(StoreUnavailable, match="behind"):
        await house.add("bob", b"bob#2", mode=EnrollMode.ADD)
    assert len((await house.subjects.get("g", "bob")).encounters) == 1
    index.away = False
    await house.add("eve", b"eve", request_id="first")
    await house.add("bob", b"bob#2", mode=EnrollMode.ADD)
    assert await house.found(b"eve") == ["eve"]
