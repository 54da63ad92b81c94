"""What a server does beside its calls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from facegrid.domain.errors import ConfigurationError, FacegridError
from facegrid.identity.compaction import Compact

_PAUSE_S, _PAUSE_AFTER_FAILURE_S = 0.25, 30.0


@asynccontextmanager
async def upkeep(compact: Compact) -> AsyncIterator[None]:
    """Compact galleries when it is due; a compaction may be broken off at any point."""
    task = asyncio.create_task(_compact(compact))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _compact(compact: Compact) -> None:
    log = structlog.get_logger()
    while True:
        pause = _PAUSE_S
        try:
            if count := await compact():
                log.info("compacted", galleries=count)
        except Exception as error:  # noqa: BLE001  # whatever it was, the next may succeed
            known = isinstance(error, FacegridError | ConfigurationError)
            log.warning("not compacted", cause=type(error).__name__, message=str(error) if known else "")
            pause = _PAUSE_AFTER_FAILURE_S
        await asyncio.sleep(pause)
