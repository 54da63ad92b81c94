"""An index or a store that stalls: whoever has a deadline hears of it before that is over."""

import asyncio

import pytest

from facegrid.domain.errors import StoreUnavailable
from facegrid.domain.faces import FaceSelection
from house import House, call


async def test_a_search_that_stalls_is_unavailable(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends before the caller's deadline, so that he is told to retry."""

    async def stall(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    await house.add("ann", b"ann")
    monkeypatch.setattr(house.index, "search", stall)
    with pytest.raises(StoreUnavailable, match="index"):
        await house.search(b"ann", timeout_s=0.05)


async def test_a_verification_whose_record_stalls_is_unavailable(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Likewise: its templates come from the store."""

    async def stall(*_: object) -> None:
        await asyncio.Event().wait()

    await house.add("ann", b"ann")
    monkeypatch.setattr(house.records, "subject", stall)
    with pytest.raises(StoreUnavailable, match="store"):
        await house.verify(
            call("Verify", timeout_s=0.05),
            "g",
            subject_id="ann",
            probe=b"ann",
            selection=FaceSelection.EXACTLY_ONE,
            min_revision="",
        )
