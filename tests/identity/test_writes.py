"""Mutations outlive their callers, and not without bound."""

import asyncio
import time

import pytest

from facegrid.domain.errors import StoreUnavailable
from facegrid.identity.writes import Writes

_SOON, _LATE = 0.05, 60.0


class StalledStore:
    """Writes when it is let."""

    def __init__(self) -> None:
        """Stall."""
        self.flowing = asyncio.Event()
        self.begun = self.written = 0

    async def write(self) -> str:
        """Write."""
        self.begun += 1
        await self.flowing.wait()
        self.written += 1
        return "written"


async def test_a_caller_hears_before_its_deadline_and_the_write_goes_on() -> None:
    """It is told to retry; what has begun is carried through when the store is back."""
    store, writes = StalledStore(), Writes(most=1)
    with pytest.raises(StoreUnavailable, match="same request id"):
        await writes.finish(store.write, time.monotonic() + _SOON)
    store.flowing.set()
    assert await writes.finish(store.write, time.monotonic() + _LATE) == "written"
    assert store.written == 2


async def test_a_caller_that_leaves_ends_no_write() -> None:
    """Its cancellation stays with it."""
    store, writes = StalledStore(), Writes(most=2)
    call = asyncio.create_task(writes.finish(store.write, None))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    store.flowing.set()
    assert await writes.finish(store.write, None) == "written"
    assert store.written == 2


async def test_writes_that_are_held_up_let_no_more_begin() -> None:
    """Those beyond the bound have written nothing when they are refused, so a long outage fills no memory."""
    store, writes = StalledStore(), Writes(most=2)
    deadline = time.monotonic() + _SOON
    calls = [writes.finish(store.write, deadline) for _ in range(5)]
    refused = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, StoreUnavailable) for one in refused)
    assert store.begun == 2
    store.flowing.set()
    assert await writes.finish(store.write, None) == "written"
    assert store.written == 3
