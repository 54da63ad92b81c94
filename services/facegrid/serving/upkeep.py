"""What a server does beside its calls."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from facegrid.domain.errors import ConfigurationError, FacegridError

_PAUSE_S, _PAUSE_AFTER_FAILURE_S = 0.25, 30.0


@asynccontextmanager
async def upkeep(**works: Callable[[], Awaitable[int]]) -> AsyncIterator[None]:
    """Do what has to be done again and again; each says how much it did."""
    tasks = [asyncio.create_task(_repeat(name, work)) for name, work in works.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _repeat(name: str, work: Callable[[], Awaitable[int]]) -> None:
    log = structlog.get_logger()
    while True:
        pause = _PAUSE_S
        try:
            if count := await work():
                log.info("upkeep", work=name, count=count)
        except Exception as error:  # noqa: BLE001  # whatever it was, the next may succeed
            known = isinstance(error, FacegridError | ConfigurationError)
            message = str(error) if known else ""
            log.warning("upkeep failed", work=name, cause=type(error).__name__, message=message)
            pause = _PAUSE_AFTER_FAILURE_S
        await asyncio.sleep(pause)
