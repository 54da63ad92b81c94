"""What a server does beside its calls."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from facegrid.domain.errors import ConfigurationError, FacegridError

_PAUSE_S, _PAUSE_AFTER_FAILURE_S = 0.25, 30.0


@asynccontextmanager
async def upkeep(**jobs: Callable[[], Awaitable[int]]) -> AsyncIterator[None]:
    """Do jobs over and over, which return how many galleries they worked on; any may be broken off."""
    tasks = [asyncio.create_task(_repeat(name, job)) for name, job in jobs.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _repeat(name: str, job: Callable[[], Awaitable[int]]) -> None:
    log, failed = structlog.get_logger(), f"not {name}"
    while True:
        pause = _PAUSE_S
        try:
            if count := await job():
                log.info(name, galleries=count)
        except Exception as error:  # noqa: BLE001  # whatever it was, the next may succeed
            known = isinstance(error, FacegridError | ConfigurationError)
            log.warning(failed, cause=type(error).__name__, message=str(error) if known else "")
            pause = _PAUSE_AFTER_FAILURE_S
        await asyncio.sleep(pause)
