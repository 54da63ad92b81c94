"""What a server does beside its calls."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from facegrid.domain.errors import ConfigurationError, FacegridError
from facegrid.identity.compaction import Compact
from facegrid.identity.watching import WatchSearches

_PAUSE_S, _PAUSE_AFTER_FAILURE_S = 0.25, 30.0
_WATCHED_SHARE = 0.1  # of the time, at most


@asynccontextmanager
async def upkeep(compact: Compact, watch_searches: WatchSearches) -> AsyncIterator[None]:
    """Compact galleries when it is due, and compare searches; both may be broken off at any point."""
    tasks = [
        asyncio.create_task(_forever("compaction", compact, 1)),
        asyncio.create_task(_forever("comparison of searches", watch_searches, _WATCHED_SHARE)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _forever(name: str, work: Callable[[], Awaitable[int]], share: float) -> None:
    """Work again and again, for no more than a share of the time."""
    log = structlog.get_logger()
    while True:
        start = time.monotonic()
        try:
            if count := await work():
                log.info("done", work=name, count=count)
            pause = max(_PAUSE_S, (time.monotonic() - start) * (1 / share - 1))
        except Exception as error:  # noqa: BLE001  # whatever it was, the next may succeed
            known = isinstance(error, FacegridError | ConfigurationError)
            log.warning("failed", work=name, cause=type(error).__name__, message=str(error) if known else "")
            pause = _PAUSE_AFTER_FAILURE_S
        await asyncio.sleep(pause)
